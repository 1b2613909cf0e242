//! The path of a request as the name of a resource: [`decoded_path`].

/// Decodes the path of a request, for the name of a resource.
///
/// Each `%` and two hexadecimal digits become a byte, once. Returns `None` if that is not possible,
/// or if the result is no UTF-8 text or has a control character. Nothing else is changed: `.` and
/// `..` stay, and a name with such a segment matches no subtree.
///
/// Use it only if your handler reads the path in this way, too. A handler that decodes twice, or
/// splits the path before it decodes, reads another name than the one that was checked.
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
