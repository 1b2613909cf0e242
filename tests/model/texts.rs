//! Token texts made by hand from the specification, which the engine would never make.

use app_tokens::TokenId;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const BODY: usize = 45;

/// Makes a well-formed text with this id and a secret made from a number.
pub(crate) fn compose(prefix: &str, id: TokenId, secret: u64) -> String {
    with_checksum(format!("{prefix}_{id}{}{}", "7".repeat(16), base32(secret, 12)))
}

/// Puts the body under another prefix, with the right checksum.
pub(crate) fn with_prefix(prefix: &str, text: &str) -> String {
    let body = &text[text.len() - BODY..text.len() - 7];
    with_checksum(format!("{prefix}_{body}"))
}

/// Changes the character at this place of the secret.
pub(crate) fn mistyped(text: &str, place: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = text.len() - BODY + 10 + place;
    bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
    String::from_utf8(bytes).unwrap()
}

/// Groups the body as nine groups of five.
pub(crate) fn grouped(text: &str) -> String {
    let (head, body) = text.split_at(text.len() - BODY);
    let groups: Vec<&str> = (0..9).map(|group| &body[5 * group..5 * group + 5]).collect();
    format!("{head}{}", groups.join("-"))
}

/// Writes it as a person would who takes 0 for O and 1 for l.
pub(crate) fn look_alikes(text: &str) -> String {
    let (head, body) = text.split_at(text.len() - BODY);
    format!("{head}{}", body.replace('0', "O").replace('1', "l"))
}

fn with_checksum(mut text: String) -> String {
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    text.push_str(&base32(u64::from(!crc), 7));
    text
}

fn base32(number: u64, width: u32) -> String {
    (0..width)
        .rev()
        .map(|place| char::from(ALPHABET[(number >> (5 * place) & 31) as usize]))
        .collect()
}
