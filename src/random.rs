//! Draws the random digits of a token, and keys. This is the only file that draws randomness.

use std::fmt;
use std::num::NonZeroU32;

use getrandom::SysRng;
use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

/// How many digits an id has: 50 bits.
pub(crate) const ID_DIGITS: usize = 10;
/// How many digits a secret has: 140 bits. From 112 bits on, NIST SP 800-63B allows a plain hash of
/// it: see [`Digest`](crate::digest::Digest).
const SECRET_DIGITS: usize = 28;
/// How many digits are drawn for a token.
pub(crate) const RANDOM_DIGITS: usize = ID_DIGITS + SECRET_DIGITS;

/// The random digits of a new token, each below 32: ten of its id, then 28 of its secret.
///
/// They are never shown, and wiped when dropped. They lie on the heap, since a value that moves on
/// the stack leaves copies behind that are not wiped.
pub(crate) struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Draws the digits of a new token in one call to `source`.
    ///
    /// Every digit takes five bits of a random byte of its own. So all values are equally likely,
    /// and id and secret share nothing.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the source fails, or repeats one byte.
    pub(crate) fn draw(source: &mut dyn RandomSource) -> Result<Secret, RandomSourceFailed> {
        let mut digits = Zeroizing::new(vec![0; RANDOM_DIGITS].into_boxed_slice());
        fill(source, &mut digits)?;
        digits.iter_mut().for_each(|digit| *digit &= 31);
        Ok(Secret(digits))
    }

    /// Returns all digits, for [`Token::compose`](crate::token::Token::compose) alone.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Draws a key of 32 bytes and a number for it from the system's source.
///
/// The number is random, so that a new key is not mistaken for a lost one.
pub(crate) fn draw_key() -> Result<(NonZeroU32, Zeroizing<[u8; 32]>), RandomSourceFailed> {
    let mut number = [0_u8; 4];
    let mut key = Zeroizing::new([0_u8; 32]);
    fill(&mut SysRng, &mut number)?;
    fill(&mut SysRng, &mut *key)?;
    // Zero is not the number of a key. It becomes 1, which is then drawn twice as often as the
    // others.
    let number = NonZeroU32::new(u32::from_le_bytes(number)).unwrap_or(NonZeroU32::MIN);
    Ok((number, key))
}

/// Returns the system's random source, which the engine uses unless the host names another.
pub(crate) fn system_source() -> impl RandomSource {
    SysRng
}

/// Any [`TryCryptoRng`], with its error made printable and its type erased.
pub(crate) trait RandomSource: Send {
    fn try_fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomSourceFailed>;
}

impl<R: TryCryptoRng + Send> RandomSource for R {
    fn try_fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomSourceFailed> {
        self.try_fill_bytes(bytes).map_err(|error| RandomSourceFailed(error.to_string()))
    }
}

/// The random source returned an error, or the same byte over and over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the random source failed: {0}; use another one")]
pub struct RandomSourceFailed(String);

/// Fills a buffer, and refuses what is plainly not random.
fn fill(source: &mut dyn RandomSource, bytes: &mut [u8]) -> Result<(), RandomSourceFailed> {
    source.try_fill(bytes)?;
    // A source that left the buffer as it was, or repeats one byte, is broken. Shorter buffers are
    // not looked at: four equal bytes do come by chance. A key has 32, all equal once in 2^248
    // draws.
    if bytes.len() >= 16 && bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(RandomSourceFailed(String::from("it repeats one byte")));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::convert::Infallible;

    /// A source whose every byte is given by its position: for tests that want to know the digits.
    pub(crate) struct Counting(pub(crate) u64);

    impl rand_core::TryRng for Counting {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(self.try_next_u64()? as u32)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            // SplitMix64: enough to tell one draw from another.
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            Ok(z ^ (z >> 31))
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            for chunk in bytes.chunks_mut(8) {
                let word = self.try_next_u64()?.to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
            Ok(())
        }
    }
    impl TryCryptoRng for Counting {}

    struct Stuck;
    impl RandomSource for Stuck {
        fn try_fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomSourceFailed> {
            bytes.fill(0x5a);
            Ok(())
        }
    }

    struct Failing;
    impl RandomSource for Failing {
        fn try_fill(&mut self, _: &mut [u8]) -> Result<(), RandomSourceFailed> {
            Err(RandomSourceFailed(String::from("no entropy")))
        }
    }

    #[test]
    fn a_failing_and_a_stuck_source_are_errors() {
        let failed = Secret::draw(&mut Failing).unwrap_err();
        assert_eq!(failed.to_string(), "the random source failed: no entropy; use another one");
        assert!(Secret::draw(&mut Stuck).is_err());
    }

    #[test]
    fn no_two_draws_are_alike_and_every_digit_takes_every_value() {
        let mut source = Counting(7);
        let mut seen = HashSet::new();
        let mut values = vec![HashSet::new(); SECRET_DIGITS];
        for _ in 0..2000 {
            let secret = Secret::draw(&mut source).unwrap();
            let (of_id, of_secret) = secret.digits().split_at(ID_DIGITS);
            assert!(seen.insert(of_secret.to_vec()));
            assert_ne!(of_id, &of_secret[..ID_DIGITS]);
            for (place, digit) in of_secret.iter().enumerate() {
                values[place].insert(*digit);
            }
        }
        assert!(values.iter().all(|v| v.len() == 32), "a digit that misses values loses entropy");
    }

    #[test]
    fn no_two_keys_are_alike() {
        let (one, two) = (draw_key().unwrap(), draw_key().unwrap());
        assert_ne!(*one.1, *two.1);
    }
}
