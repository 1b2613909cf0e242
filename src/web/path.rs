//! [`decoded_path`]: the path of a request as the name of a resource.

/// Decodes the path of a request, for use as the name of a resource.
///
/// Each `%` with two hexadecimal digits becomes a byte (RFC 3986, 2.1). It decodes once, and
/// changes nothing else: `.` and `..` stay, and a name with such a segment matches no subtree.
///
/// Returns `None` if a `%` is not followed by two hexadecimal digits. Also if the result is not
/// UTF-8, or has a control character.
///
/// **Use it only if your handler decodes the path in the same way.** If a handler decodes twice, or
/// splits the path before it decodes, it opens another resource than the one that was checked.
///
/// ```
/// use app_tokens::web::decoded_path;
/// assert_eq!(decoded_path("/docs/a%20b"), Some(String::from("/docs/a b")));
/// assert_eq!(decoded_path("/docs/%2e%2e/secret"), Some(String::from("/docs/../secret")));
/// assert_eq!(decoded_path("/docs/%zz"), None);
/// ```
pub fn decoded_path(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => 16 * hexadecimal(bytes.next()?)? + hexadecimal(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().filter(|path| !path.chars().any(char::is_control))
}

/// Returns the value of a hexadecimal digit.
fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_that_can_not_be_decoded_names_nothing() {
        for bad in
            ["%", "/a%", "/a%2", "/%2g", "/%+1", "/%ff", "/%c3", "/a%00", "/a%0a", "/a\n", "%é"]
        {
            assert_eq!(decoded_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_decoded_once_and_nothing_else_is_changed() {
        for (path, expected) in [
            ("", ""),
            ("/", "/"),
            ("//a/./b/../c//", "//a/./b/../c//"),
            ("/a+b%2Bc", "/a+b+c"),
            ("/%2541", "/%41"),
            ("/%2f%2F", "///"),
            ("/Zo%C3%AB", "/Zoë"),
            ("/Zoë", "/Zoë"),
        ] {
            assert_eq!(decoded_path(path).as_deref(), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn every_way_to_encode_a_path_names_one_thing(path in "\\PC{0,20}", which: u64) {
            let encode = |(at, byte): (usize, u8)| {
                if byte == b'%' || byte >= 0x80 || which >> (at % 64) & 1 == 1 {
                    format!("%{byte:02X}")
                } else {
                    String::from(char::from(byte))
                }
            };
            let encoded: String = path.bytes().enumerate().map(encode).collect();
            prop_assert_eq!(decoded_path(&encoded), Some(path));
        }
    }
}
