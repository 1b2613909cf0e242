//! Notices what the search can't read: compressed, encrypted, an image, in EBCDIC.
//!
//! Without this, an archive full of tokens would be answered with "no token".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::{Decompress, FlushDecompress};
use zeroize::Zeroizing;

use super::input::is_gzip;

/// Signs by which formats are known, wherever they stand: in a tar, in a mail, in a core dump.
/// Texts are among them, such as gzip in base64.
const SIGNS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xFD7zXZ\0", "xz"),
    (b"1AY&SY", "bzip2"),
    (b"\x28\xB5\x2F\xFD", "zstd"),
    (b"\x04\x22\x4D\x18", "lz4"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"Rar!\x1A\x07", "a RAR archive"),
    (b"PACK\0\0\0\x02", "a pack of git"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n\x1A\n", "an image"),
    (b"\xFF\xD8\xFF\xDB", "an image"),
    (b"\xFF\xD8\xFF\xE0", "an image"),
    (b"\xFF\xD8\xFF\xE1", "an image"),
    (b"-----BEGIN PGP MESSAGE", "an encrypted message"),
    (b"-----BEGIN AGE ENCRYPTED", "an encrypted message"),
    (b"age-encryption.org/v1", "an encrypted message"),
    (b"-----BEGIN PKCS7-----", "an encrypted message"),
    (b"-----BEGIN CMS-----", "an encrypted message"),
    (b"smime-type=enveloped-data", "an encrypted message"),
    (b"smime-type=authEnveloped-data", "an encrypted message"),
    (b"smime-type=\"enveloped-data", "an encrypted message"),
    (b"smime-type=\"authEnveloped-data", "an encrypted message"),
    (b"Salted__", "an encrypted message"),
    // The same in base64, and that in base64 once more.
    (b"U2FsdGVkX1", "an encrypted message"),
    (b"VTJGc2RHVmtYM", "an encrypted message"),
    (b"$ANSIBLE_VAULT;", "an encrypted message"),
    (b"+AF8-", "UTF-7"),
    // Each is followed by more digits, and by none before.
    (b"H4sI", IN_BASE64),
    (b"SDRzS", IN_BASE64),
    (b"UEsDB", IN_BASE64),
    (b"KLUv/", IN_BASE64),
    (b"/Td6WFoA", IN_BASE64),
    (b"QlpoO", IN_BASE64),
];
const IN_BASE64: &str = "compressed data in base64";
const GZIP: &str = "gzip within something else";
const ZLIB: &str = "zlib";
const DENSE: &str = "compressed, encrypted or random bytes";
const EBCDIC: &str = "EBCDIC";
const NOT_TEXT: &str = "bytes that do not look like text";

/// The first digit of zlib in base64.
const ZLIB_DIGIT: u8 = b'e';

/// The longest sign, or the part of gzip's head or of zlib that is looked at.
const LONGEST_SIGN: usize = 32;
/// How many bytes are judged together.
const BLOCK: usize = 512;
/// The fewest bytes that statistics can judge.
const MIN_BLOCK: usize = 128;
/// How many digits of base64 follow a sign, at least. Fewer hold no token.
const MIN_DIGITS: usize = 16;

/// What the search can't read in one input, by kind: where it begins first, and in how many places
/// it is.
#[derive(Default)]
pub struct Unread {
    kinds: BTreeMap<&'static str, (u64, u64)>,
    block: Block,
    /// What the last block was, as blocks in a row are one place.
    last_block: Option<&'static str>,
    /// The first bytes, for an input that statistics can't judge.
    first: Zeroizing<Vec<u8>>,
    /// How many bytes were looked at.
    passed: u64,
}

impl Unread {
    /// Looks at the bytes of a window from `held` on. Those before it were looked at already.
    pub fn look(&mut self, window: &[u8], held: usize) {
        // A sign may lie across the end of the last window.
        let known = held.min(LONGEST_SIGN);
        let (window, begin) = (&window[held - known..], self.passed - known as u64);
        if self.passed == 0 && is_zlib(window) {
            self.note(0, ZLIB);
        }
        for at in (0..window.len()).filter(|at| BEGINS[usize::from(window[*at])]) {
            // What ended in the last window was noted with that one.
            if let Some((what, _)) = sign_at(window, at).filter(|(_, length)| at + length > known) {
                self.note(begin + at as u64, what);
            }
        }
        let missing = MIN_BLOCK.saturating_sub(self.first.len());
        // At once: a buffer that grows leaves a copy behind that is not wiped.
        self.first.reserve(missing);
        self.first.extend(window[known..].iter().take(missing));
        for byte in &window[known..] {
            self.block.add(*byte);
            self.passed += 1;
            if self.block.length == BLOCK {
                self.judge_block();
            }
        }
    }

    /// Returns where each kind begins, what it is, and in how many places it is.
    pub fn end(mut self) -> impl Iterator<Item = (u64, &'static str, u64)> {
        if self.block.length >= MIN_BLOCK {
            self.judge_block();
        } else if self.passed < MIN_BLOCK as u64 && is_no_text(&self.first) {
            self.note(0, NOT_TEXT);
        }
        self.kinds.into_iter().map(|(what, (at, places))| (at, what, places))
    }

    fn judge_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        let at = self.passed - block.length as u64;
        let what = match block {
            _ if block.is_dense() => Some(DENSE),
            _ if block.is_ebcdic() => Some(EBCDIC),
            _ => None,
        };
        let last = std::mem::replace(&mut self.last_block, what);
        if let Some(what) = what.filter(|_| what != last) {
            self.note(at, what);
        }
    }

    fn note(&mut self, at: u64, what: &'static str) {
        self.kinds.entry(what).or_insert((at, 0)).1 += 1;
    }
}

/// How often each byte is in a block.
struct Block {
    counts: [u32; 256],
    length: usize,
}

impl Default for Block {
    fn default() -> Block {
        Block { counts: [0; 256], length: 0 }
    }
}

impl Block {
    fn add(&mut self, byte: u8) {
        self.counts[usize::from(byte)] += 1;
        self.length += 1;
    }

    /// Returns whether the bytes are spread as evenly as in compressed or encrypted data.
    ///
    /// Two bytes of such data are equal with a chance of 1 in 256. In text of any encoding, in
    /// base64 and in machine code it is 1 in 70 or more. The limit is between them.
    fn is_dense(&self) -> bool {
        let pairs = |count: u64| count * count.saturating_sub(1);
        let equal: u64 = self.counts.iter().map(|count| pairs(u64::from(*count))).sum();
        equal * 128 < pairs(self.length as u64)
    }

    /// Returns whether this is text of a mainframe: its letters are above ASCII, and its space is
    /// ASCII's `@`.
    fn is_ebcdic(&self) -> bool {
        let above: u32 = self.counts[0x80..].iter().sum();
        let length = self.length as u32;
        self.counts[0x20] == 0 && self.counts[0x40] * 100 > length && above * 10 > length * 6
    }
}

/// Returns whether a short input is not UTF-8, and has few of the bytes of ASCII text. UTF-16 of
/// that has only zeros besides.
fn is_no_text(bytes: &[u8]) -> bool {
    let is_text = |byte: &&u8| matches!(byte, 0 | 9..=13 | 27 | 32..=126);
    let texts = bytes.iter().filter(is_text).count();
    bytes.len() >= MIN_DIGITS && texts * 4 < bytes.len() * 3 && std::str::from_utf8(bytes).is_err()
}

/// Returns what begins at a place, and how many bytes show that.
fn sign_at(text: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let rest = &text[at..];
    if is_gzip(rest) {
        return Some((GZIP, 10));
    }
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let is_first = at == 0 || !is_digit(&text[at - 1]);
    // No other sign begins so.
    if rest.first() == Some(&ZLIB_DIGIT) {
        let digits = rest.first_chunk().filter(|digits| is_first && is_zlib_in_base64(digits))?;
        return Some((IN_BASE64, digits.len()));
    }
    let (sign, what) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    if *what != IN_BASE64 {
        return Some((*what, sign.len()));
    }
    let length = sign.len() + MIN_DIGITS;
    let has_more = rest.get(..length).is_some_and(|digits| digits.iter().all(is_digit));
    (is_first && has_more).then_some((*what, length))
}

/// Returns whether zlib in base64 begins with these digits.
///
/// Its head is two bytes (RFC 1950, 2.2), and in one of 20,000 lines of base64 random digits begin
/// so. So what follows is decompressed, which fails soon if it is anything else.
fn is_zlib_in_base64(digits: &[u8; LONGEST_SIGN]) -> bool {
    // Most words that begin so end here.
    if !b"AFJN".contains(&digits[1]) {
        return false;
    }
    let standard = digits.map(|digit| match digit {
        b'-' => b'+',
        b'_' => b'/',
        digit => digit,
    });
    let (mut bytes, mut text) = (Zeroizing::new([0; 24]), Zeroizing::new([0; 8 * 1024]));
    if STANDARD_NO_PAD.decode_slice(standard, &mut *bytes).is_err() || !is_zlib(&*bytes) {
        return false;
    }
    // It is cut off, so it can't be finished; it is an error only if it is not zlib.
    Decompress::new(true).decompress(&*bytes, &mut *text, FlushDecompress::Finish).is_ok()
}

/// Returns whether this is the head of zlib, as programs write it at each level.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [b'x', 0x01 | 0x5E | 0x9C | 0xDA, ..])
}

/// The first bytes of signs, as most places are passed over by one look-up.
static BEGINS: [bool; 256] = {
    let mut begins = [false; 256];
    begins[0x1F] = true;
    begins[ZLIB_DIGIT as usize] = true;
    let mut at = 0;
    while at < SIGNS.len() {
        begins[SIGNS[at].0[0] as usize] = true;
        at += 1;
    }
    begins
};

#[cfg(test)]
mod tests {
    use super::*;
    use support::chance::Chance;

    #[test]
    fn random_digits_are_hardly_ever_zlib_in_base64_even_if_they_begin_so() {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut chance = Chance(11);
        let mut alarms = 0;
        for _ in 0..20_000 {
            let mut digits: [u8; LONGEST_SIGN] =
                std::array::from_fn(|_| DIGITS[chance.below(64) as usize]);
            digits[..3].copy_from_slice([b"eJw", b"eNo", b"eAE", b"eF4"][chance.below(4) as usize]);
            alarms += u32::from(is_zlib_in_base64(&digits));
        }
        // Of 20,000 lines, one begins so.
        assert!(alarms < 400, "{alarms}");
    }
}
