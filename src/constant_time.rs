//! Comparison in constant time.

use subtle::ConstantTimeEq;

/// Compares 32 bytes in constant time, as four words. That costs less than byte by byte, and
/// reveals as little.
pub(crate) fn constant_time_eq(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let (one, _) = one.as_chunks::<8>();
    let (other, _) = other.as_chunks::<8>();
    let words = one.iter().zip(other);
    let difference = words.fold(0, |difference, (one, other)| {
        difference | (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other))
    });
    difference.ct_eq(&0).into()
}
