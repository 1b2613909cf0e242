//! Reads hashes in the PHC string format, as other systems keep them.
//!
//! Strictly: what a careless reader takes for the same hash is refused. So nobody can write one
//! hash in two ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Returns the fields between the dollar signs; `None` if the text does not begin with one, or has
/// another number of fields.
pub(super) fn fields<const N: usize>(kept: &[u8]) -> Option<[&str; N]> {
    let fields = std::str::from_utf8(kept).ok()?.strip_prefix('$')?;
    fields.split('$').collect::<Vec<_>>().try_into().ok()
}

/// Returns the values of parameters with these names, in this order; `None` if there are others.
pub(super) fn numbers<const N: usize>(field: &str, names: [&str; N]) -> Option<[u32; N]> {
    let parts: [&str; N] = field.split(',').collect::<Vec<_>>().try_into().ok()?;
    let mut values = [0; N];
    for ((value, part), name) in values.iter_mut().zip(parts).zip(names) {
        *value = number(part.strip_prefix(name)?.strip_prefix('=')?)?;
    }
    Some(values)
}

/// Reads a decimal number without sign or leading zeros.
pub(super) fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Reads base64 without padding. `None` if bits are left over that are not zero, or if the number
/// of bytes is out of bounds.
pub(super) fn bytes(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok().filter(|bytes| lengths.contains(&bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_way_to_be_written() {
        assert_eq!(numbers("m=65536,t=1,p=2", ["m", "t", "p"]), Some([65536, 1, 2]));
        let others = [
            "",
            "m=65536",
            "m=65536,t=1",
            "t=1,m=65536,p=2",
            "m=065536,t=1,p=2",
            "m=+1,t=1,p=2",
            "m=-1,t=1,p=2",
            "m= 1,t=1,p=2",
            "m=1 ,t=1,p=2",
            "m=,t=1,p=2",
            "m=4294967296,t=1,p=2",
            "m=1,t=1,p=2,",
            "m=1,t=1,p=2,data=YQ",
            "m=1,m=1,t=1,p=2",
            "m=\u{0661},t=1,p=2",
            "mm=1,t=1,p=2",
            "m1,t=1,p=2",
            "M=1,t=1,p=2",
        ];
        for other in others {
            assert_eq!(numbers(other, ["m", "t", "p"]), None, "{other}");
        }
    }

    #[test]
    fn base64_has_one_way_to_be_written() {
        assert_eq!(bytes("AAECAw", 1..=64), Some(vec![0, 1, 2, 3]));
        for other in ["", "AAECAx", "AAECAw=", "AAECAw==", "AAECA", "AAEC\nAw", " AAECAw", "AA_-"] {
            assert_eq!(bytes(other, 1..=64), None, "{other}");
        }
        assert_eq!((bytes("AAECAw", 5..=64), bytes("AAECAw", 1..=3)), (None, None));
    }

    #[test]
    fn fields_are_counted() {
        assert_eq!(fields(b"$a$b"), Some(["a", "b"]));
        for other in [&b""[..], b"a$b", b"$a", b"$a$b$", b"$$a$b", b" $a$b", b"$a$\xff"] {
            assert_eq!(fields::<2>(other), None, "{other:?}");
        }
    }
}
