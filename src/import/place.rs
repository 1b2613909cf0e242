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
//! Each row has the latter two among its attributes, in hexadecimal, and the candidate's number:
//! see `record/imported.rs`.

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
    /// Returns the id of a look-up's candidate.
    pub(crate) fn id(&self, scheme: &str, lookup: &Lookup, candidate: u32) -> TokenId {
        let parts = [self.realm.as_bytes(), scheme.as_bytes(), lookup.bytes()];
        let bits = self.hmac(b"ati1", &parts, &candidate.to_be_bytes());
        #[expect(clippy::expect_used, reason = "a number of 50 bits is an id")]
        TokenId::from_u64(bits >> 14).expect("an id")
    }

    /// Returns what an import writes into a token's row at the first place.
    pub(crate) fn mark<'m>(&self, scheme: &'m str, distinct: &[u8]) -> ImportMark<'m> {
        let fingerprint = self.hmac(b"atf1", &[scheme.as_bytes(), distinct], &[]);
        ImportMark { scheme, key: self.key_mark(), fingerprint, candidate: 0 }
    }

    /// Returns what tells the key and the realm from others.
    pub(crate) fn key_mark(&self) -> u32 {
        let mark = self.hmac(b"atk1", &[self.realm.as_bytes()], &[]);
        (mark >> 32) as u32
    }

    /// Returns the first 64 bits of an HMAC over a domain, over parts with their lengths, and over
    /// an end.
    ///
    /// Each domain has a fixed number of parts and an end of a fixed length. So no two lists of
    /// parts have the same bytes.
    fn hmac(&self, domain: &[u8; 4], parts: &[&[u8]], end: &[u8]) -> u64 {
        let mac = self.key.hmac(|sink| {
            sink(domain);
            for part in parts {
                // A part has at most 8,192 bytes.
                sink(&(part.len() as u32).to_be_bytes());
                sink(part);
            }
            sink(end);
        });
        let (words, _) = mac.as_chunks::<8>();
        u64::from_be_bytes(words[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_key_realm_scheme_look_up_and_number() {
        let (key, other) = (ImportKey::new(&[7; 32]), ImportKey::new(&[8; 32]));
        let ids = |key, realm, scheme, lookup: &str, candidates| -> Vec<TokenId> {
            let (places, lookup) = (Places { key, realm }, Lookup::exact(lookup));
            (0..candidates).map(|candidate| places.id(scheme, &lookup, candidate)).collect()
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
