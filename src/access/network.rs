//! Blocks of IP addresses that a token may be used from: [`Network`].

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::text::{InvalidText, TextProblem};

/// A block of IP addresses, version 4 or 6.
///
/// It parses from an address, or from an address and a length: `192.0.2.7`, `10.0.0.0/8`,
/// `2001:db8::/32`. It prints with the length, as in `192.0.2.7/32`, and is stored in that form.
///
/// An IPv4-mapped address (`::ffff:192.0.2.7`, RFC 4291, section 2.5.5.2) counts as IPv4. So does a
/// block of them. A block of version 6 never covers an IPv4 address, not even `::/0`.
///
/// ```
/// use app_tokens::access::Network;
/// let office: Network = "10.0.0.0/8".parse()?;
/// assert!(office.contains("10.1.2.3".parse().unwrap()));
/// assert!(office.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!("10.0.0.1/8".parse::<Network>().is_err(), "an address inside a block is not a block");
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Makes a block from its first address and the length of its prefix in bits: 0 to 32 for IPv4,
    /// 0 to 128 for IPv6.
    ///
    /// # Errors
    /// [`InvalidText`] if the length is too great for the address, or if the address has bits set
    /// beyond the length.
    pub fn new(address: IpAddr, length: u8) -> Result<Network, InvalidText> {
        let invalid = |problem| InvalidText::new(WHAT, problem);
        if length > bits_of(address) {
            return Err(invalid(MALFORMED));
        }
        if masked(address, length) != address {
            return Err(invalid(TextProblem::BitsBeyondLength));
        }
        Ok(match address {
            // The length is at least 96 here. Otherwise a bit of the mapping would be set beyond
            // it, which is refused above.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                Network { address: address.to_canonical(), length: length - MAPPED }
            }
            _ => Network { address, length },
        })
    }

    /// Returns the first address of the block.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the length of the prefix in bits.
    pub fn prefix_length(&self) -> u8 {
        self.length
    }

    /// Returns whether the address lies in the block.
    ///
    /// An IPv4-mapped address is looked for as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// Returns whether every address of `other` lies in this block.
    pub fn includes(&self, other: &Network) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

const WHAT: &str = "network";
const MALFORMED: TextProblem =
    TextProblem::Malformed { expected: "an address, with or without a length, such as 10.0.0.0/8" };
/// The bits of `::ffff:0:0` in front of an IPv4 address.
const MAPPED: u8 = 96;

/// Returns how many bits an address of this version has.
const fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Clears the bits of an address beyond the length.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    let cleared = u32::from(bits_of(address).saturating_sub(length));
    match address {
        IpAddr::V4(v4) => {
            // A shift by all 32 bits would overflow, so the mask of a block of length 0 is 0.
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl FromStr for Network {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Network, InvalidText> {
        let malformed = || InvalidText::new(WHAT, MALFORMED);
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let Some(length) = length else {
            return Network::new(address, bits_of(address));
        };
        // Only one spelling is accepted, since `u8` would also parse `+8` and `08`.
        let number: u8 = length.parse().map_err(|_| malformed())?;
        if number.to_string() != length {
            return Err(malformed());
        }
        Network::new(address, number)
    }
}

/// Orders networks by their stored texts, because a list of them is sealed in that order.
impl Ord for Network {
    fn cmp(&self, other: &Network) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for Network {
    fn partial_cmp(&self, other: &Network) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[track_caller]
    fn contains(text: &str, address: &str, expected: bool) {
        assert_eq!(network(text).contains(address.parse().unwrap()), expected, "{text} {address}");
    }

    #[test]
    fn a_block_contains_the_addresses_with_its_first_bits() {
        contains("10.0.0.0/8", "10.255.255.255", true);
        contains("10.0.0.0/8", "11.0.0.0", false);
        contains("192.0.2.7", "192.0.2.7", true);
        contains("192.0.2.7", "192.0.2.6", false);
        contains("192.0.2.128/25", "192.0.2.127", false);
        contains("0.0.0.0/0", "255.255.255.255", true);
        contains("2001:db8::/32", "2001:db8:ffff::1", true);
        contains("2001:db8::/32", "2001:db9::", false);
        contains("::/0", "2001:db8::", true);
        contains("::1", "::1", true);
    }

    #[test]
    fn versions_are_apart_and_a_mapped_address_is_v4() {
        contains("::/0", "10.0.0.1", false);
        contains("::/0", "::ffff:10.0.0.1", false);
        contains("::fffe:0:0/95", "::ffff:10.0.0.1", false);
        contains("0.0.0.0/0", "::", false);
        contains("0.0.0.0/0", "::ffff:10.0.0.1", true);
        contains("0.0.0.0/0", "::10.0.0.1", false);
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:0:0/96"), network("0.0.0.0/0"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7/32"));
        assert!(!network("::/0").includes(&network("10.0.0.0/8")));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/33",
            "10.0.0.0/256",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "10.0.0.0/ 8",
            " 10.0.0.0/8",
            "10.0.0/8",
            "10.0.0.01",
            "010.0.0.0/8",
            "::/129",
            "fe80::1%eth0",
            "fe80::%1/64",
            "[::1]",
            "localhost",
            "10.0.0.0/255.0.0.0",
            "*",
        ] {
            let problem = text.parse::<Network>().unwrap_err();
            assert_eq!(problem.problem(), &MALFORMED, "{text:?}");
        }
        for text in ["10.0.0.1/8", "0.0.0.1/0", "2001:db8::1/32", "::ffff:0:0/95", "::1/0"] {
            let problem = text.parse::<Network>().unwrap_err();
            assert_eq!(problem.problem(), &TextProblem::BitsBeyondLength, "{text:?}");
        }
    }

    #[test]
    fn the_stored_form_has_a_length_and_parses_back() {
        for (text, stored) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("::", "::/128"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(network(text).to_string(), stored);
            assert_eq!(network(stored), network(text));
        }
    }

    #[test]
    fn the_order_is_that_of_the_stored_forms() {
        let mut networks = ["9.0.0.0/8", "10.0.0.0/8", "::/0", "10.0.0.0/16"].map(network);
        networks.sort();
        let sorted = networks.map(|network| network.to_string());
        assert_eq!(sorted, ["10.0.0.0/16", "10.0.0.0/8", "9.0.0.0/8", "::/0"]);
    }
}
