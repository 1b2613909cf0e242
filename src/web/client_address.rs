//! [`client_address`]: where a request behind proxies came from.

use std::net::{IpAddr, SocketAddr};

use crate::access::Network;

/// Returns the address of the client, from the connection's peer and what trusted proxies say.
///
/// - `peer` is the other end of the TCP connection.
/// - `forwarded` are the values of all `X-Forwarded-For` headers, in the order of the request.
/// - `trusted` are the host's own proxies.
///
/// A proxy appends the address of its peer on the right. So the header is read from the right, up
/// to the first address that is not a trusted proxy. A client may have written everything further
/// left.
///
/// An address may have a port, and an IPv6 address may have brackets. An IPv4-mapped address
/// becomes IPv4.
///
/// Returns `None` if the address can't be known: a trusted proxy sent no address, or an unreadable
/// one. Then a token that is bound to networks is forbidden, and a last use is recorded without its
/// address. Nothing else tells that a proxy doesn't send the header, so log the `None`. With axum,
/// `peer` is there only if the router is served by `into_make_service_with_connect_info`.
///
/// **Name the proxies themselves, not their network.** A client with a trusted address can claim
/// any other address.
///
/// ```
/// use app_tokens::access::Network;
/// use app_tokens::web::client_address;
/// let proxies: [Network; 1] = ["10.0.0.1".parse()?];
/// let proxy = "10.0.0.1".parse()?;
/// let client = client_address(proxy, [b"6.6.6.6, 192.0.2.7".as_slice()], &proxies);
/// assert_eq!(client, Some("192.0.2.7".parse()?));
/// // Without a proxy in between, the header is not believed.
/// let client = client_address("192.0.2.7".parse()?, [b"6.6.6.6".as_slice()], &proxies);
/// assert_eq!(client, Some("192.0.2.7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn client_address<'h>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'h [u8], IntoIter: DoubleEndedIterator>,
    trusted: &[Network],
) -> Option<IpAddr> {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return Some(peer);
    }
    // Without a header the address is unknown, and not the proxy's own. A client can make some
    // proxies leave the header out (CVE-2022-31813), and would then appear to be in the proxy's
    // network.
    let mut client = None;
    let lines = forwarded.into_iter().rev();
    for hop in lines.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        // An unreadable hop ends it. Skipping the hop would believe what is left of it.
        let address = address_of(hop)?;
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// Reads `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address_of(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_ascii();
    let bracketed = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => hop.parse::<IpAddr>().ok().or_else(|| with_port(hop)),
    };
    address.map(|address| address.to_canonical())
}

/// Reads an address with a port. It refuses a zone id (`fe80::1%3`), which has a meaning only on
/// the proxy's machine.
fn with_port(hop: &str) -> Option<IpAddr> {
    if hop.contains('%') {
        return None;
    }
    hop.parse::<SocketAddr>().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const PROXY: &str = "10.0.0.1";
    const CLIENT: &str = "192.0.2.7";

    fn trusted() -> [Network; 3] {
        ["10.0.0.1", "10.0.1.0/24", "fd00::/8"].map(|network| network.parse().unwrap())
    }

    fn client(peer: &str, lines: &[&str]) -> Option<String> {
        let lines = lines.iter().map(|line| line.as_bytes());
        let address = client_address(peer.parse().unwrap(), lines, &trusted());
        address.map(|address| address.to_string())
    }

    #[track_caller]
    fn is(peer: &str, lines: &[&str], expected: &str) {
        assert_eq!(client(peer, lines).as_deref(), Some(expected), "{lines:?}");
    }

    #[track_caller]
    fn is_unknown(lines: &[&str]) {
        assert_eq!(client(PROXY, lines), None, "{lines:?}");
    }

    #[test]
    fn a_peer_that_is_no_proxy_is_the_client_whatever_it_says() {
        for lines in
            [&[][..], &["6.6.6.6"], &["10.0.0.1"], &["garbage", ""], &["6.6.6.6, 10.0.0.1"]]
        {
            is(CLIENT, lines, CLIENT);
        }
    }

    #[test]
    fn what_a_client_writes_on_the_left_is_never_believed() {
        is(PROXY, &["6.6.6.6, 192.0.2.7"], CLIENT);
        is(PROXY, &["10.0.0.1, 192.0.2.7"], CLIENT);
        is(PROXY, &["garbage, , 192.0.2.7"], CLIENT);
        is(PROXY, &["6.6.6.6", "192.0.2.7"], CLIENT);
        is(PROXY, &["6.6.6.6, 192.0.2.7, 10.0.1.9"], CLIENT);
    }

    #[test]
    fn many_lines_are_one_list_in_their_order() {
        is(PROXY, &["6.6.6.6", "192.0.2.7, 10.0.1.3", "10.0.1.2"], CLIENT);
        is(PROXY, &["192.0.2.7", "10.0.1.3,10.0.1.2"], CLIENT);
        is(PROXY, &["192.0.2.7", "198.51.100.1"], "198.51.100.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        for (hop, expected) in [
            ("192.0.2.7:41234", CLIENT),
            ("::ffff:192.0.2.7", CLIENT),
            ("[::ffff:192.0.2.7]:80", CLIENT),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("\t192.0.2.7 ", CLIENT),
        ] {
            is(PROXY, &[hop], expected);
            is("::ffff:10.0.0.1", &[&format!("6.6.6.6, {hop}")], expected);
            is("fd00::1", &[hop, "[fd00::2]:80, ::ffff:10.0.1.2"], expected);
        }
    }

    #[test]
    fn a_proxy_that_names_no_address_leaves_the_client_unknown() {
        is_unknown(&[]);
        for garbage in [
            "",
            " ",
            ",",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.7.",
            "192.0.2.007",
            "192.0.2.7:",
            "192.0.2.7:99999",
            "192.0.2.7/32",
            "[192.0.2.7]",
            "[2001:db8::1",
            "2001:db8::1]",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "fe80::1%1",
            "for=192.0.2.7",
            "192.0.2.7 10.0.1.1",
            "é",
            "0x7f.1",
            "3221225991",
        ] {
            is_unknown(&[garbage]);
            is_unknown(&["192.0.2.7", garbage]);
            is_unknown(&[&format!("192.0.2.7, {garbage}")]);
            is_unknown(&[&format!("{garbage}, 10.0.1.1")]);
        }
        let not_text = client_address(PROXY.parse().unwrap(), [b"\xff".as_slice()], &trusted());
        assert_eq!(not_text, None);
    }

    #[test]
    fn where_all_are_trusted_the_furthest_is_the_client() {
        is(PROXY, &["10.0.1.77, 10.0.1.2"], "10.0.1.77");
        is(PROXY, &["fd00::7"], "fd00::7");
    }

    proptest! {
        /// Threat K: nothing that a client sends changes what the proxy's own entry says.
        #[test]
        fn nothing_that_a_client_sends_changes_the_answer(
            sent in proptest::collection::vec("\\PC{0,40}", 0..4),
            forged in proptest::collection::vec("(10\\.0\\.[01]\\.[0-9]|fd00::[0-9])", 0..4),
            address: u32, address_v6: u128, is_v6: bool,
        ) {
            let address = if is_v6 {
                IpAddr::V6(Ipv6Addr::from(address_v6))
            } else {
                IpAddr::V4(Ipv4Addr::from(address))
            };
            let address = address.to_canonical();
            let trusted = trusted();
            prop_assume!(!trusted.iter().any(|network| network.contains(address)));
            let by_proxy = address.to_string();
            let appended = format!("{}, {by_proxy}", forged.join(", "));
            let lines: Vec<&[u8]> =
                sent.iter().map(String::as_bytes).chain([appended.as_bytes()]).collect();
            let found = client_address(PROXY.parse().unwrap(), lines.iter().copied(), &trusted);
            prop_assert_eq!(found, Some(address));
            let direct = client_address(address, lines, &trusted);
            prop_assert_eq!(direct, Some(address));
        }
    }
}
