//! Tokens that are JWTs signed by HS256, as PowerShell Universal issues them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{HmacReset, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::sha256::{from_hex, sha_256};
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};

/// PowerShell Universal's app tokens: JWTs that the server signed by HS256.
///
/// Two things must hold at each use. The SHA-256 of the whole text belongs to a row, and the
/// signature is right under the signing key. So the key alone is not enough to make a token, and a
/// row in the old table alone is not enough either.
///
/// **Nothing is read from the claims.** Set the row's end and access when you import it:
/// [`ForeignToken::expires`](super::ForeignToken::expires) from `exp` or from the column
/// `Expiration`, whichever is earlier. An `exp` that is not taken over does not end the token. The
/// `admin` example does this.
///
/// Each text has 122 random bits, in its claim `hash`.
#[derive(Clone)]
pub struct Jwt(HmacReset<Sha256>);

/// PowerShell Universal's documentation names this key. All samples there are signed by it.
const DOCUMENTED_KEY: &str = "PleaseUseYourOwnSigningKeyHere";

impl Jwt {
    /// Makes the scheme with the server's signing key, the setting `Jwt.SigningKey`.
    ///
    /// # Errors
    /// [`InvalidSigningKey`] if it is empty, or if it is the one that PowerShell Universal's
    /// documentation names, also with zero bytes at its end.
    pub fn of_powershell_universal(signing_key: &str) -> Result<Jwt, InvalidSigningKey> {
        // HMAC pads a key with zeros, so those at its end make no other key.
        let key = signing_key.trim_start();
        let key = key.trim_end_matches(|end: char| end.is_whitespace() || end == '\0');
        if key.is_empty() || key.eq_ignore_ascii_case(DOCUMENTED_KEY) {
            return Err(InvalidSigningKey);
        }
        Ok(Jwt::danger_with_any_key(signing_key))
    }

    /// Makes the scheme with a key that may be known to everybody. **Only for tests.**
    pub fn danger_with_any_key(signing_key: &str) -> Jwt {
        #[expect(clippy::expect_used, reason = "HMAC hashes long keys and pads short ones")]
        let keyed = HmacReset::new_from_slice(signing_key.as_bytes()).expect("a key of any length");
        Jwt(keyed)
    }

    /// Takes a whole token. Only a digest of it is stored.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is no JWT with a signature under this key.
    pub fn secret(&self, text: &str) -> Result<ForeignSecret, InvalidKept> {
        if !self.is_signed(text) {
            return Err(InvalidKept("a JWT that is signed by HS256 under this signing key"));
        }
        ForeignSecret::text(self, Lookup::exact(sha_256(text)), text)
    }

    /// Takes SHA-256 of a whole token in hexadecimal (64 digits), for a system that keeps no more.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one.
    pub fn secret_of_hash(&self, hash: &str) -> Result<ForeignSecret, InvalidKept> {
        let hash = from_hex(hash).and_then(|hash| hash.as_slice().try_into().ok());
        let hash: [u8; 32] = hash.ok_or(InvalidKept("64 hexadecimal digits"))?;
        Ok(ForeignSecret::sha_256(self, Lookup::exact(hash), hash))
    }

    fn is_signed(&self, text: &str) -> bool {
        let Some((signed, signature)) = text.rsplit_once('.') else { return false };
        // Whatever algorithm the header names, it is HS256 that must be right.
        let Some((header, claims)) = signed.split_once('.') else { return false };
        let is_whole = !header.is_empty() && !claims.is_empty() && !claims.contains('.');
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        // Not moved, or it would leave a copy of what it read.
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice_reset(&signature).is_ok() && is_whole
    }
}

/// Shows no key.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").finish_non_exhaustive()
    }
}

impl Foreign for Jwt {
    fn name(&self) -> &str {
        "powershell-universal"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        // The signature is checked here, since the row has a digest of ours from the start.
        let text = presented.expose_secret();
        let is_signed = self.is_signed(text);
        is_signed.then(|| Lookup::exact(sha_256(text))).into_iter().collect()
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<bool, InvalidKept> {
        Err(InvalidKept("kept: a digest is made at the import"))
    }

    fn guarantees_112_bits(&self) -> bool {
        true
    }
}

/// A signing key by which anybody may have signed tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signing key is empty, or the one that PowerShell Universal's documentation names; \
     anybody can sign tokens with it, so issue new tokens instead of importing these"
)]
pub struct InvalidSigningKey;
