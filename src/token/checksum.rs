//! The checksum at the end of a token: CRC-32, computed without waiting for each character.

use super::alphabet::ALPHABET;
use crate::random::RANDOM_DIGITS;

/// The state of CRC-32/ISO-HDLC, which zlib, gzip and PNG use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Checksum(u32);

impl Checksum {
    /// The state before anything was read.
    pub(super) const START: Checksum = Checksum(!0);

    /// Reads one more byte.
    pub(super) const fn extend(self, byte: u8) -> Checksum {
        let mut state = self.0 ^ byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ 0xEDB8_8320 } else { state >> 1 };
            bit += 1;
        }
        Checksum(state)
    }

    /// Replaces the zero bytes that were read last by these digits, as many as there are.
    pub(super) fn with_all_random(self, digits: impl Iterator<Item = u8>) -> Checksum {
        digits.enumerate().fold(self, |checksum, (place, digit)| checksum.with_random(place, digit))
    }

    /// Replaces one of the zero bytes that were read last by a digit, of which it takes five bits.
    ///
    /// A CRC is linear: what each character changes in the state is computed beforehand and added
    /// by xor. Read byte by byte, each step would wait for the one before it, and this runs on
    /// every login.
    pub(super) fn with_random(self, place: usize, digit: u8) -> Checksum {
        Checksum(self.0 ^ TRACES[place][usize::from(digit & 31)])
    }

    /// Returns the checksum of what was read.
    pub(super) fn value(self) -> u64 {
        u64::from(!self.0)
    }
}

/// `TRACES[p][d]` is what digit `d` at place `p` of the random part leaves in the state at the end
/// of that part.
static TRACES: [[u32; 32]; RANDOM_DIGITS] = {
    let mut traces = [[0; 32]; RANDOM_DIGITS];
    let mut digit = 0;
    while digit < 32 {
        // From state 0, so that only this one character is in the trace. Zero bytes after it carry
        // it to the end.
        let mut state = Checksum(0).extend(ALPHABET[digit]);
        let mut place = RANDOM_DIGITS;
        while place > 0 {
            place -= 1;
            traces[place][digit] = state.0;
            state = state.extend(0);
        }
        digit += 1;
    }
    traces
};
