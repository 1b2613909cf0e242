//! Where an imported row stands: ids that are made by an HMAC from what the old system looked the
//! token up by.
//!
//! - An id is the first 50 bits of an HMAC-SHA-256 under the ring's `import` key. The HMAC is
//!   computed over the four bytes `ati1`, the realm, the scheme's name, the look-up and the
//!   candidate's number. Each of the three texts is its length as a `u32` and its bytes. The number
//!   is a `u32` from 0. All numbers are big-endian.
//! - A fingerprint tells a token from all others, so that a second run finds what the first one
//!   imported. It is the first 64 bits of the HMAC of `atf1`, the scheme's name, and the look-up.
//!   If several tokens may share that, what the old system kept stands in its place.
//! - A mark of key and realm tells whether this ring finds a row by its text. It is the first 32
//!   bits of the HMAC of `atk1` and the realm.
//!
//! Each row has the latter two among its attributes, in hexadecimal: see `record/imported.rs`.

use crate::import::Lookup;
use crate::key::ImportKey;
use crate::record::ImportMark;
use crate::token::TokenId;

/// Makes the ids and marks of one realm.
pub(crate) struct Places<'k> {
    pub(crate) key: &'k ImportKey,
    pub(crate) realm: &'k str,
}

impl Places<'_> {
    /// Returns the ids of a look-up's candidates.
    pub(crate) fn ids(
        &self,
        scheme: &str,
        lookup: &Lookup,
        candidates: u32,
    ) -> impl Iterator<Item = TokenId> + use<'_> {
        let parts = [self.realm.as_bytes(), scheme.as_bytes(), lookup.bytes()];
        let mut bytes = encoded(b"ati1", &parts);
        let fixed = bytes.len();
        (0..candidates).map(move |number| {
            bytes.truncate(fixed);
            bytes.extend(number.to_be_bytes());
            let [id, ..] = self.hmac_words(&bytes);
            #[expect(clippy::expect_used, reason = "a number of 50 bits is an id")]
            TokenId::from_u64(id >> 14).expect("an id")
        })
    }

    /// Returns what an import writes into a token's row.
    pub(crate) fn mark<'m>(&self, scheme: &'m str, distinct: &[u8]) -> ImportMark<'m> {
        let [fingerprint, ..] = self.hmac_words(&encoded(b"atf1", &[scheme.as_bytes(), distinct]));
        ImportMark { scheme, key: self.key_mark(), fingerprint }
    }

    /// Returns what tells the key and the realm from others.
    pub(crate) fn key_mark(&self) -> u32 {
        let [mark, ..] = self.hmac_words(&encoded(b"atk1", &[self.realm.as_bytes()]));
        (mark >> 32) as u32
    }

    fn hmac_words(&self, bytes: &[u8]) -> [u64; 4] {
        let mac = self.key.hmac(bytes);
        let (words, _) = mac.as_chunks::<8>();
        [0, 1, 2, 3].map(|word: usize| u64::from_be_bytes(words[word]))
    }
}

/// Writes a domain and parts, each with its length, so that no two lists have the same bytes.
fn encoded(domain: &[u8; 4], parts: &[&[u8]]) -> zeroize::Zeroizing<Vec<u8>> {
    let length = 8 + parts.iter().map(|part| 4 + part.len()).sum::<usize>();
    // Allocated once, since a buffer that grows leaves copies behind that are not wiped.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(length));
    bytes.extend(domain);
    for part in parts {
        // A part has at most 8,192 bytes.
        bytes.extend((part.len() as u32).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_key_realm_scheme_look_up_and_number() {
        let (key, other) = (ImportKey::new(&[7; 32]), ImportKey::new(&[8; 32]));
        let ids = |key, realm, scheme, lookup: &str, candidates| -> Vec<TokenId> {
            Places { key, realm }.ids(scheme, &Lookup::exact(lookup), candidates).collect()
        };
        let all = [
            ids(&key, "acme", "sha256", "ab", 20),
            ids(&other, "acme", "sha256", "ab", 20),
            ids(&key, "brand", "sha256", "ab", 20),
            ids(&key, "acm", "esha256", "ab", 20),
            ids(&key, "acme", "sha256a", "b", 20),
            ids(&key, "acme", "sha256", "", 20),
        ]
        .concat();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (120, 120));
        assert_eq!(ids(&key, "acme", "sha256", "ab", 3), all[..3]);
    }

    #[test]
    fn a_fingerprint_is_the_same_at_each_run_and_differs_by_what_was_kept() {
        let places = Places { key: &ImportKey::new(&[7; 32]), realm: "acme" };
        let one = places.mark("sha256", b"ab");
        assert_eq!(one, places.mark("sha256", b"ab"));
        for other in [places.mark("sha25", b"6ab"), places.mark("sha256", b"abc")] {
            assert_ne!(one.fingerprint, other.fingerprint);
            assert_eq!(one.key, other.key);
        }
    }

    #[test]
    fn a_key_and_a_realm_are_told_from_others() {
        let (key, other) = (ImportKey::new(&[7; 32]), ImportKey::new(&[8; 32]));
        let mark = |key, realm| Places { key, realm }.key_mark();
        assert_eq!(mark(&key, "acme"), mark(&key, "acme"));
        assert_ne!(mark(&key, "acme"), mark(&other, "acme"));
        assert_ne!(mark(&key, "acme"), mark(&key, "acm"));
    }
}
