//! The key rings of all tests.

use app_tokens::KeyRing;

pub const KEYS: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const OTHER_KEYS: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Returns a ring of one key.
pub fn ring() -> KeyRing {
    KeyRing::parse(KEYS).unwrap()
}

/// Returns a ring of another key.
pub fn other_ring() -> KeyRing {
    KeyRing::parse(OTHER_KEYS).unwrap()
}

/// Returns a ring of two keys. The first is the one of [`ring`], and active.
pub fn two_keys() -> KeyRing {
    KeyRing::parse(&format!("{KEYS},{OTHER_KEYS}")).unwrap()
}

/// Returns a ring of the same two keys, with the other one active.
pub fn two_keys_turned() -> KeyRing {
    KeyRing::parse(&format!("{OTHER_KEYS},{KEYS}")).unwrap()
}
