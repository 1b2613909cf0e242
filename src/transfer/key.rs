//! The one-time key of a transfer file, and the running seal that it makes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::random::{self, RandomSourceFailed};

/// The key that seals one transfer file: 32 random bytes, in base64 as a text.
///
/// Draw a new one for each file. Carry it to the other host apart from the file, and delete both
/// afterwards. **Anyone who has it can write a file that makes tokens of any owner.**
///
/// It is never shown by `Debug`, and wiped when dropped.
#[derive(Clone)]
pub struct TransferKey(Zeroizing<Box<[u8]>>);

impl TransferKey {
    const BYTES: usize = 32;

    /// Draws a key from the system's random source.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    pub fn draw() -> Result<TransferKey, RandomSourceFailed> {
        let (_, key) = random::draw_key()?;
        Ok(TransferKey(Zeroizing::new(key[..].into())))
    }

    /// Reads what [`TransferKey::expose_secret`] wrote. Space around it does not matter.
    ///
    /// # Errors
    /// [`InvalidTransferKey`] if it is not 32 bytes in base64.
    pub fn parse(text: &str) -> Result<TransferKey, InvalidTransferKey> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| InvalidTransferKey)?;
        let is_key = bytes.len() == TransferKey::BYTES;
        if is_key {
            Ok(TransferKey(Zeroizing::new(bytes[..].into())))
        } else {
            Err(InvalidTransferKey)
        }
    }

    /// Returns the key as text. Show it once, and keep it apart from the file.
    pub fn expose_secret(&self) -> Zeroizing<String> {
        // Allocated once, since a text that grows leaves copies behind that are not wiped.
        let mut text = Zeroizing::new(String::with_capacity(64));
        STANDARD.encode_string(&*self.0, &mut text);
        text
    }

    /// Begins the seal of a file. The key that it uses is derived from this one for that purpose.
    pub(crate) fn running_seal(&self) -> RunningSeal {
        let mut derive = keyed(&self.0);
        derive.update(b"att1");
        let derived = Zeroizing::new(<[u8; 32]>::from(derive.finalize().into_bytes()));
        RunningSeal(keyed(&*derived))
    }
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferKey(…)")
    }
}

/// A text that is no transfer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a transfer key; give the 44 characters that were printed when the file was made")]
pub struct InvalidTransferKey;

/// The HMAC-SHA-256 of all lines so far, each with its line feed.
///
/// It seals each line together with all lines before it. So a line is known to be right as soon as
/// it is read. No line before it can be missing, doubled or in another place.
#[derive(Clone)]
pub(crate) struct RunningSeal(Hmac<Sha256>);

impl RunningSeal {
    /// Adds a line, and returns the seal up to it.
    pub(crate) fn add(&mut self, line: &str) -> [u8; 32] {
        self.0.update(line.as_bytes());
        self.0.update(b"\n");
        self.0.clone().finalize().into_bytes().into()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC hashes long keys and pads short ones")]
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_nothing_else_does() {
        let key = TransferKey::draw().unwrap();
        let text = key.expose_secret();
        assert_eq!(text.len(), 44);
        let read = TransferKey::parse(&format!(" {}\r\n", *text)).unwrap();
        assert_eq!(*read.expose_secret(), *text);
        for wrong in ["", "acme", &text[1..], &text[..43], &format!("{}{}", *text, *text)] {
            assert_eq!(TransferKey::parse(wrong).unwrap_err(), InvalidTransferKey);
        }
        assert_eq!(format!("{key:?}"), "TransferKey(…)");
    }

    #[test]
    fn a_seal_is_the_one_that_another_program_makes_from_the_documentation() {
        // Made by Python's `hmac`.
        let key = TransferKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let mut seal = key.running_seal();
        for (line, expected) in [
            (
                "app-tokens-transfer 1 2026-03-01T12:00:00Z acme acme",
                "fUDEfDgGOonEr2Un83KFHWogohkXt/Vk8o7uSYh/ZmU=",
            ),
            ("end 0 0", "N4ntYrdJVRfrd90c2y1yKLQkkYsegSqRrEaBk2RAOdw="),
        ] {
            assert_eq!(STANDARD.encode(seal.add(line)), expected);
        }
    }

    #[test]
    fn a_seal_depends_on_the_key_the_lines_and_their_order() {
        let key = TransferKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let seal = |key: &TransferKey, lines: &[&str]| {
            let mut seal = key.running_seal();
            lines.iter().map(|line| seal.add(line)).last().unwrap()
        };
        let right = seal(&key, &["a", "b"]);
        assert_eq!(right, seal(&key, &["a", "b"]));
        let others: [&[&str]; 6] =
            [&["b", "a"], &["a"], &["b"], &["a", "a", "b"], &["ab"], &["a", "b", ""]];
        for other in others {
            assert_ne!(right, seal(&key, other));
        }
        assert_ne!(right, seal(&TransferKey::draw().unwrap(), &["a", "b"]));
    }
}
