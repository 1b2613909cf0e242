//! Which other systems' tokens a host lets in: [`ImportChoice`].

use std::fs;
use std::num::NonZeroU32;

use app_tokens::TokenAuthority;
use app_tokens::import::{
    Argon2, Bcrypt, Blake3, Forgejo, Import, Jwt, Pbkdf2, Plain, Sha256, Sha512, Uuid,
};
use app_tokens::store::TokenStore;
use app_tokens::web::{Accounts, Login};
use zeroize::Zeroizing;

/// The formats of `--import`, with the names that `admin import` has for them.
pub const FORMATS: &str = "nextcloud:FILE, forgejo, gitea, sanctum, sha256, blake3, blake3:FILE, \
                           plain, phc, powershell-universal:FILE, nuxeo";

/// The schemes that a host's options name; none unless they do.
#[derive(Clone, Default)]
pub struct ImportChoice {
    import: Option<Import>,
    max_candidates: Option<NonZeroU32>,
}

impl ImportChoice {
    /// Adds a format. A secret of the old system comes from a file, as others can read arguments.
    ///
    /// # Errors
    /// A line for the operator. It repeats nothing of a file, nor a format that does not exist.
    pub fn add(&mut self, told: &str) -> Result<(), String> {
        let (format, file) = match told.split_once(':') {
            Some((format, file)) => (format, Some(file)),
            None => (told, None),
        };
        let secret = match (format, file) {
            ("nextcloud" | "powershell-universal" | "blake3", Some(file)) => secret(file)?,
            ("nextcloud", None) => {
                return Err("nextcloud needs the instance's secret: nextcloud:FILE".into());
            }
            ("powershell-universal", None) => {
                return Err("powershell-universal needs the signing key: \
                            powershell-universal:FILE"
                    .into());
            }
            (_, Some(_)) => {
                return Err(format!("this format takes no file; name one of {FORMATS}"));
            }
            (_, None) => Zeroizing::default(),
        };
        let import = self.import.take().unwrap_or_default();
        self.import = Some(match format {
            "nextcloud" => import.scheme(Sha512::of_nextcloud(&secret)),
            "forgejo" | "gitea" => import.scheme(Forgejo::new()),
            "sanctum" => import.scheme(Sha256::of_sanctum()),
            "sha256" => import.scheme(Sha256::of_unknown_strength()),
            "blake3" if file.is_some() => {
                import.scheme(Blake3::of_unknown_strength().keyed_by_text(&secret).ok_or(
                    "a key of BLAKE3 has 32 bytes; write it into the file as 64 hexadecimal digits",
                )?)
            }
            "blake3" => import.scheme(Blake3::of_unknown_strength()),
            "plain" => import.scheme(Plain::of_unknown_strength()),
            "phc" => import
                .scheme(Argon2::by_owner())
                .scheme(Bcrypt::by_owner())
                .scheme(Pbkdf2::by_owner()),
            "powershell-universal" => import
                .scheme(Jwt::of_powershell_universal(&secret).map_err(|error| error.to_string())?),
            "nuxeo" => import.scheme(Uuid::v4()),
            _ => return Err(format!("this format does not exist; name one of {FORMATS}")),
        });
        Ok(())
    }

    /// Sets how many tokens may share an owner or an ending, as `admin import` was told.
    pub fn set_max_candidates(&mut self, most: NonZeroU32) {
        self.max_candidates = Some(most);
    }

    /// Switches the import on in a login.
    pub fn in_login<S: TokenStore, A: Accounts>(&self, login: Login<S, A>) -> Login<S, A> {
        match self.chosen() {
            Some(import) => login.with_import(&import),
            None => login,
        }
    }

    /// Refuses to let tokens in if some would not be found. It reads all rows.
    ///
    /// # Errors
    /// A line for the operator.
    pub async fn check<S: TokenStore>(&self, tokens: &TokenAuthority<S>) -> Result<(), String> {
        let Some(import) = self.chosen() else { return Ok(()) };
        let schemes = tokens.import_status().await;
        let schemes = schemes.map_err(|why| format!("the store can't be read: {why}"))?;
        let beyond = schemes.iter().filter(|scheme| !import.reaches(scheme));
        match beyond.map(|scheme| scheme.candidates).max() {
            Some(most) => Err(format!(
                "an import was told a greater --max-candidates, so this host would not find some \
                 tokens; start with --max-candidates {most} or more"
            )),
            None => Ok(()),
        }
    }

    fn chosen(&self) -> Option<Import> {
        let import = self.import.clone()?;
        Some(match self.max_candidates {
            Some(most) => import.max_candidates(most),
            None => import,
        })
    }
}

/// Reads a secret. A line end after it is no part of it.
fn secret(file: &str) -> Result<Zeroizing<String>, String> {
    let text = fs::read_to_string(file).map_err(|why| format!("{file} can't be read: {why}"))?;
    let mut secret = Zeroizing::new(text);
    let line = secret.strip_suffix('\n').unwrap_or(&secret);
    let length = line.strip_suffix('\r').unwrap_or(line).len();
    secret.truncate(length);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve;
    use app_tokens::import::ForeignToken;
    use app_tokens::store::MemoryStore;
    use app_tokens::web::NamesAreOwners;
    use app_tokens::{Access, KeyRing, Operator, Origin, Owner, Policy};

    #[tokio::test]
    async fn a_host_finds_as_many_tokens_of_an_owner_as_it_was_told() {
        let keys =
            format!("{},{}", KeyRing::new_text().unwrap(), KeyRing::new_import_text().unwrap());
        let policy = Policy::new("acme").unwrap().with_open_import();
        let tokens =
            TokenAuthority::new(MemoryStore::new(), KeyRing::parse(&keys).unwrap(), policy);
        let alice = Owner::new("alice").unwrap();
        // The second is the hash of the text below.
        for hash in [
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "lOk6QjA/lnawOQ2UmhZPIVXOVQ7x1hmwXzfpX5u8uI4",
        ] {
            let phc = format!("$pbkdf2-sha256$i=1000,l=32$AAECAwQFBgcICQoLDA0ODw${hash}");
            let secret = Pbkdf2::by_owner().secret(&phc, &alice).unwrap();
            let token = ForeignToken::new(secret, &alice, "Old", Access::full());
            tokens.import(&Operator::new("root").unwrap(), &Import::new(), token).await.unwrap();
        }
        for (most, is_in) in [(Some(1), false), (Some(2), true), (None, true)] {
            let mut choice = ImportChoice::default();
            most.and_then(NonZeroU32::new).into_iter().for_each(|most| {
                choice.set_max_candidates(most);
            });
            choice.add("phc").unwrap();
            let login = choice.in_login(Login::new(tokens.clone(), NamesAreOwners(|_| true)));
            let text = "correct horse  battery staple ";
            let entered = login.enter_with(Some("alice"), text, Origin::unknown()).await;
            assert_eq!(entered.is_ok(), is_in, "{most:?}");
            let refused = serve::check(&tokens, &choice).await.err().unwrap_or_default();
            assert_eq!(!refused.contains("start with --max-candidates 2"), is_in, "{refused}");
        }
        serve::check(&tokens, &ImportChoice::default()).await.unwrap();
    }

    #[tokio::test]
    async fn a_host_reads_a_key_of_blake3_as_text_and_as_digits_and_takes_no_other_tokens_then() {
        let keys =
            format!("{},{}", KeyRing::new_text().unwrap(), KeyRing::new_import_text().unwrap());
        let policy = Policy::new("acme").unwrap().with_open_import();
        let tokens =
            TokenAuthority::new(MemoryStore::new(), KeyRing::parse(&keys).unwrap(), policy);
        let key = b"whats the Elvish word for friend";
        let without = Blake3::of_unknown_strength();
        for (scheme, hash) in [
            (without.clone(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
            (
                without.keyed(key),
                "04f9ce493c512718b53c4b2f451e3ea3cb1480602dd67213656f1873f133c457",
            ),
        ] {
            let secret = scheme.secret(hash).unwrap();
            let token = ForeignToken::new(secret, "alice", "Old", Access::full());
            tokens.import(&Operator::new("root").unwrap(), &Import::new(), token).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let keyed = format!("blake3:{}", file.display());
        let text = String::from_utf8(key.to_vec()).unwrap();
        let digits: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        for (told, key, lets_in) in [
            ("blake3", String::new(), ["abc", "keyed abc"]),
            (&*keyed, text + "\n", ["keyed abc", "abc"]),
            (&*keyed, digits + "\r\n", ["keyed abc", "abc"]),
        ] {
            fs::write(&file, key).unwrap();
            let mut choice = ImportChoice::default();
            choice.add(told).unwrap();
            let login = choice.in_login(Login::new(tokens.clone(), NamesAreOwners(|_| true)));
            let mut entered = Vec::new();
            for text in lets_in {
                entered.push(login.enter_with(None, text, Origin::unknown()).await.is_ok());
            }
            assert_eq!(entered, [true, false], "{told}");
        }
        for wrong in ["", "hunter2", &"é".repeat(32), &"x".repeat(64), &"0".repeat(63)] {
            fs::write(&file, wrong).unwrap();
            let refused = ImportChoice::default().add(&keyed).unwrap_err();
            assert!(refused.contains("64 hexadecimal digits"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn every_format_is_known_and_a_wrong_one_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "0sBQFSdlLs6vjKj8TZ0WQ8CwTjGm1hYx\n").unwrap();
        let mut choice = ImportChoice::default();
        for format in FORMATS.split(", ") {
            choice.add(&format.replace("FILE", key.to_str().unwrap())).unwrap();
        }
        fs::write(&key, "PleaseUseYourOwnSigningKeyHere\r\n").unwrap();
        let refused = |told: &str| ImportChoice::default().add(told).unwrap_err();
        let documented = refused(&format!("powershell-universal:{}", key.display()));
        assert!(documented.contains("documentation names"), "{documented}");
        assert!(refused("nextcloud").contains("nextcloud:FILE"));
        assert!(refused("powershell-universal").contains("powershell-universal:FILE"));
        assert!(refused("nextcloud:none").contains("can't be read"));
        for wrong in ["hunter2", "", "sanctum:hunter2", "Plain"] {
            let said = refused(wrong);
            assert!(said.contains("name one of") && !said.contains("hunter2"), "{said}");
        }
    }
}
