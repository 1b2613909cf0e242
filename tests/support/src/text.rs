//! Texts of tokens.

/// Changes the secret in a token's text; the id stays, and the checksum is right.
pub fn same_id_other_secret(text: &str) -> String {
    let (head, digit) = (&text[..43 - 1], &text[42..43]);
    let random = format!("{}{}", head, if digit == "0" { "1" } else { "0" });
    let crc = random.bytes().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 * (crc & 1)))
    });
    let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digits = (0..7)
        .rev()
        .map(|place| char::from(alphabet[(u64::from(!crc) >> (5 * place) & 31) as usize]));
    random.chars().chain(digits).collect()
}
