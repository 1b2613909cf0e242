//! The 32 digits of a token, and numbers written in them.

/// Crockford's base 32 in lower case: without i, l, o, u.
pub(super) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a character of a presented body stands for.
#[derive(Clone, Copy)]
pub(super) enum Character {
    /// A canonical character: the one it is, is the upper case of, or looks like.
    Canonical(u8),
    /// A space or hyphen, which people put between groups.
    Separator,
    /// A character that no token has.
    Forbidden,
}

impl Character {
    /// Looks a byte up.
    pub(super) fn of(byte: u8) -> Character {
        CHARACTERS[usize::from(byte)]
    }
}

/// What each byte stands for. A table, since every login looks up 45 of them.
static CHARACTERS: [Character; 256] = {
    let mut table = [Character::Forbidden; 256];
    let mut digit = 0;
    while digit < 32 {
        let character = ALPHABET[digit];
        table[character as usize] = Character::Canonical(character);
        table[character.to_ascii_uppercase() as usize] = Character::Canonical(character);
        digit += 1;
    }
    // Crockford's look-alikes. `u` has none, so it is forbidden.
    table[b'o' as usize] = Character::Canonical(b'0');
    table[b'O' as usize] = Character::Canonical(b'0');
    table[b'i' as usize] = Character::Canonical(b'1');
    table[b'I' as usize] = Character::Canonical(b'1');
    table[b'l' as usize] = Character::Canonical(b'1');
    table[b'L' as usize] = Character::Canonical(b'1');
    table[b' ' as usize] = Character::Separator;
    table[b'-' as usize] = Character::Separator;
    table
};

/// Returns the character of a digit below 32.
pub(super) fn character_of(digit: u8) -> u8 {
    ALPHABET[usize::from(digit)]
}

/// Returns the digit of a canonical character; a number above 31 for any other.
pub(super) fn digit_of(character: u8) -> u8 {
    DIGITS[usize::from(character)]
}

/// The digit of each canonical character.
static DIGITS: [u8; 256] = {
    let mut table = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 32 {
        table[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// Appends a digit to a number.
pub(super) fn append(number: u64, digit: u8) -> u64 {
    number << 5 | u64::from(digit)
}

/// Splits a number into `count` digits, most significant first.
pub(super) fn digits_of(number: u64, count: usize) -> impl Iterator<Item = u8> {
    (0..count).rev().map(move |place| (number >> (5 * place) & 31) as u8)
}
