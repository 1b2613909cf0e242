//! Decodes what is encoded in a text, layer by layer: base64 in both alphabets, and hexadecimal.

use std::ops::Range;

use zeroize::Zeroizing;

use super::MAX_SPAN;
use super::characters::{NOTHING, character};

/// How many times a text may be encoded. A Kubernetes secret that holds a Docker login has two
/// layers, and a manifest in base64 around it would be the third.
const MAX_DEPTH: usize = 3;
/// The fewest characters of what may be a token: the 45 of a body, with a few missing.
const MIN_CHARACTERS: usize = 42;
/// The digits of base64 that these take. Any other form takes more.
const MIN_DIGITS: usize = MIN_CHARACTERS * 8 / 6;
/// How many digits are decoded at once.
const WINDOW: usize = 8 * 1024;
/// How many digits of a window are decoded again with the next, since a token may lie across the
/// end.
const OVERLAP: usize = 2 * MAX_SPAN;

/// Visits the texts within a text. Holds the memory for their digits, and wipes it when dropped.
pub(crate) struct Layers {
    depths: Vec<Depth>,
}

/// The memory for one step of decoding.
struct Depth {
    /// The digits as they are written, at most [`WINDOW`].
    digits: Zeroizing<Vec<u8>>,
    /// Where each of them stands in the text.
    places: Vec<u32>,
    decoded: Zeroizing<Vec<u8>>,
}

/// A way to read a row of digits: how many bits each has, and how many bits are skipped first.
///
/// Where the encoded text begins is not known, because digits of something else may stand before
/// it. So every way to begin is tried. Bits are skipped and not whole digits, because a row may
/// begin with the digit that holds a token's first bits.
#[derive(Clone, Copy)]
struct Reading {
    bits: usize,
    passed: usize,
}

impl Layers {
    /// Makes room for texts of at most `longest` bytes, which must be less than 4 GiB.
    pub(crate) fn new(longest: usize) -> Layers {
        // Nothing grows, since growth would leave a copy behind: no layer has more digits than
        // bytes. A text that is too short for a token in base64 needs no memory.
        let window = WINDOW.min(longest);
        let depths = if longest < MIN_DIGITS { 0 } else { MAX_DEPTH };
        let depth = || Depth {
            digits: Zeroizing::new(Vec::with_capacity(window)),
            places: Vec::with_capacity(window),
            decoded: Zeroizing::new(Vec::with_capacity(window)),
        };
        Layers { depths: std::iter::repeat_with(depth).take(depths).collect() }
    }

    /// Calls `visit` with a text, and with each text that is encoded in it.
    ///
    /// The second argument of `visit` turns a range of that text into its place in the outermost
    /// text.
    pub(crate) fn visit(&mut self, text: &[u8], visit: &mut Visit<'_>) {
        visit_layers(text, &mut self.depths, &|range| range, visit);
    }
}

/// Receives a text and the function that finds its places.
type Visit<'v> = dyn FnMut(&[u8], &Place<'_>) + 'v;
/// Turns a range of a decoded text into its place in the outermost text.
type Place<'p> = dyn Fn(Range<usize>) -> Range<usize> + 'p;

/// Visits a text, and then, if there is memory for one more step, what is encoded in it.
fn visit_layers(text: &[u8], depths: &mut [Depth], place: &Place<'_>, visit: &mut Visit<'_>) {
    visit(text, place);
    let Some((Depth { digits, places, decoded }, deeper)) = depths.split_first_mut() else {
        return;
    };
    if is_noise(text) {
        return;
    }
    let mut at = 0;
    while read_digits(text, &mut at, digits, places) {
        let mut look = |range: Range<usize>, reading: Reading| {
            reading.decode(&digits[range.clone()], decoded);
            let places = &places[range];
            let place = |range| place(reading.place(range, text, places));
            visit_layers(decoded, deeper, &place, visit);
        };
        // Digits in front shift the bytes by a multiple of six bits: by 0, 6, 4 or 2 bits within a
        // byte.
        for passed in [0, 2, 4, 6] {
            look(0..digits.len(), Reading { bits: 6, passed });
        }
        for range in hexadecimal(digits) {
            for passed in [0, 4] {
                look(range.clone(), Reading { bits: 4, passed });
            }
        }
    }
}

/// Returns whether a text has no row of ASCII that is half as long as a token. Most ways to read
/// digits yield such noise, and what is encoded in noise need not be looked for.
pub(crate) fn is_noise(text: &[u8]) -> bool {
    let mut row = 0;
    let mut longest = 0;
    for byte in text {
        let is_text = matches!(byte, 0 | b'\t'..=b'\r' | 0x1B | b' '..=b'~');
        row = if is_text { row + 1 } else { 0 };
        longest = longest.max(row);
    }
    longest < MIN_CHARACTERS / 2
}

/// Reads the next window of digits, which repeats the last ones of the same row. Returns false at
/// the end of the text.
///
/// A row goes on across white space, line ends, colours, and the escapes of these.
fn read_digits(text: &[u8], at: &mut usize, digits: &mut Vec<u8>, places: &mut Vec<u32>) -> bool {
    // Only a row that goes on has filled the window. Another one begins without digits of the last.
    let kept = if digits.len() == WINDOW { OVERLAP } else { 0 };
    digits.drain(..digits.len() - kept);
    places.drain(..places.len() - kept);
    while *at < text.len() && digits.len() < WINDOW {
        let room = text[*at..].iter().take(WINDOW - digits.len());
        let plain = room.take_while(|byte| is_digit(**byte)).count();
        digits.extend_from_slice(&text[*at..*at + plain]);
        places.extend((*at..*at + plain).map(|place| place as u32));
        *at += plain;
        if *at == text.len() || digits.len() == WINDOW {
            break;
        }
        let start = *at;
        let (digit, end) = digit_at(text, start);
        *at = end;
        match digit {
            Some(NOTHING) => {}
            Some(digit) => {
                digits.push(digit);
                places.push(start as u32);
            }
            None if digits.len() >= MIN_DIGITS => return true,
            None => {
                digits.clear();
                places.clear();
            }
        }
    }
    let is_enough = digits.len() >= MIN_DIGITS.max(kept + 1);
    if !is_enough {
        digits.clear();
        places.clear();
    }
    is_enough
}

/// Returns the digit at a place, and where it ends. [`NOTHING`] is what may stand between two
/// digits, and `None` anything else.
fn digit_at(text: &[u8], at: usize) -> (Option<u8>, usize) {
    match text[at] {
        plain if is_digit(plain) => (Some(plain), at + 1),
        opener @ (0x1B | b'\\' | b'%' | b'=' | b'&') => match character(text, at) {
            (found @ (b'+' | b'/'), end) => (Some(found), end),
            (b' ' | b'\t' | b'\r' | b'\n' | NOTHING, end) => (Some(NOTHING), end),
            // What looks like an escape of a letter is read as a sign and a letter: that letter may
            // be a digit.
            _ => ((opener == b'\\').then_some(NOTHING), at + 1),
        },
        0 | b'\t'..=b'\r' | b' ' => (Some(NOTHING), at + 1),
        _ => (None, at + 1),
    }
}

/// Returns whether a byte is a digit of base64, in one of its alphabets.
fn is_digit(byte: u8) -> bool {
    SEXTETS[usize::from(byte)] != NO_DIGIT
}

/// Returns the ranges of hexadecimal digits that are long enough for a token.
fn hexadecimal(digits: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for row in digits.split(|digit| !digit.is_ascii_hexdigit()) {
        if row.len() >= MIN_DIGITS * 6 / 4 {
            found.push(start..start + row.len());
        }
        start += row.len() + 1;
    }
    found
}

impl Reading {
    /// Decodes the digits into the buffer. Bits that are left over at the end are dropped.
    fn decode(self, digits: &[u8], decoded: &mut Vec<u8>) {
        decoded.clear();
        let mut bits = 0;
        let mut count = 0;
        for digit in digits {
            let value = if self.bits == 6 { SEXTETS[usize::from(*digit)] } else { nibble(*digit) };
            // Bits that were decoded already leave at the top.
            bits = bits << self.bits | u32::from(value);
            count += self.bits;
            if count >= self.passed + 8 {
                count -= 8;
                decoded.push((bits >> (count - self.passed)) as u8);
            }
        }
    }

    /// Returns where the digits stand that hold these bytes.
    fn place(self, bytes: Range<usize>, text: &[u8], places: &[u32]) -> Range<usize> {
        // Rounded outwards: a byte's first and last digits also hold bits of its neighbours.
        let first = (self.passed + bytes.start * 8) / self.bits;
        let last = (self.passed + bytes.end * 8).div_ceil(self.bits) - 1;
        places[first] as usize..digit_at(text, places[last] as usize).1
    }
}

/// The value of each digit of base64, in both alphabets: RFC 4648, sections 4 and 5.
static SEXTETS: [u8; 256] = {
    let mut sextets = [NO_DIGIT; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut value = 0;
    while value < 62 {
        sextets[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    sextets[b'+' as usize] = 62;
    sextets[b'-' as usize] = 62;
    sextets[b'/' as usize] = 63;
    sextets[b'_' as usize] = 63;
    sextets
};
const NO_DIGIT: u8 = u8::MAX;

/// Returns the value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
