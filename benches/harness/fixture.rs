//! Tokens to measure with. Their ids are known, so that wrong tokens can be made for the same ids.

use app_tokens::rand_core::{TryCryptoRng, TryRng};
use app_tokens::store::MemoryStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
use std::convert::Infallible;

use super::{mix, ready};

pub(crate) const SCOPE: &str = "files:read";

/// An authority over `count` tokens, `per_owner` for each owner, and the texts of some of them,
/// picked at even steps.
pub(crate) struct Tokens {
    pub(crate) authority: TokenAuthority<MemoryStore>,
    pub(crate) ring: KeyRing,
    pub(crate) texts: Vec<String>,
}

impl Tokens {
    /// The most texts that are kept.
    const MAX_TEXTS: usize = 1_000_000;

    pub(crate) fn new(count: usize, per_owner: usize) -> Tokens {
        Tokens::with_secrets(count, per_owner, 0)
    }

    /// Issues the tokens. The ids depend on the order alone, and the secrets on `salt`, too.
    /// Another salt makes wrong tokens for the same ids.
    pub(crate) fn with_secrets(count: usize, per_owner: usize, salt: u8) -> Tokens {
        let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
        let ring = KeyRing::ephemeral().unwrap();
        let authority = TokenAuthority::builder(MemoryStore::new(), ring.clone(), policy)
            .random(Seeded { state: 1, salt })
            .build();
        let step = count.div_ceil(Tokens::MAX_TEXTS);
        let mut texts = Vec::new();
        for number in 0..count {
            let owner = format!("user-{}", number / per_owner);
            let new = NewToken::new(owner, "My phone", Access::scopes([SCOPE]).unwrap());
            let issued = ready(authority.issue(new)).unwrap();
            if number % step == 0 {
                texts.push(String::from(issued.expose_secret()));
            }
        }
        Tokens { authority, ring, texts }
    }
}

/// SplitMix64: fit for a benchmark, never for tokens.
struct Seeded {
    state: u64,
    salt: u8,
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Ok(mix(self.state))
    }

    /// Changes the secret only: the engine draws id and secret in one call, the id's ten bytes
    /// first.
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        bytes.iter_mut().skip(10).for_each(|byte| *byte ^= self.salt);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}
