//! The options that all hosts share. Each host adds only its own.
//!
//! No error repeats a value: it may be a password that slipped into the wrong place.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use app_tokens::Owner;
use app_tokens::shapes::Period;

use crate::accounts::file::check_name;
use crate::accounts::{Account, Accounts, Password, UsernameRule};
use crate::front::Front;
use crate::import_choice::ImportChoice;
use crate::log;
use crate::proxy::LoginProxy;
use crate::session;
use crate::store_choice::StoreChoice;

/// The lines of a host's usage text for the options of all hosts.
pub const USAGE: &str = "\
  --data DIR            where tokens and the key file are kept; made if it is missing
  --listen ADDR:PORT    where to listen; 127.0.0.1:8080 by default, port 0 takes a free one
  --public-url URL      where people reach it, such as https://cloud.example behind a proxy;
                        with https, cookies go over TLS only
  --users FILE          the accounts, a line each: name, account id, mail, password hash;
                        `admin hash-password` makes a hash
  --user NAME:PASSWORD  an account for a demo, as others can read arguments; may be repeated;
                        without any account there is a demo account
  --username-rule RULE  which name clients send: login (default), uuid or email
  --store STORE         where tokens are kept, sqlite:PATH or postgres:URL; or set
                        APP_TOKENS_STORE, which may hold a password
  --policy FILE         what is allowed, as in the host's policy.toml, which is the default
  --import FORMAT       also let in tokens that `admin import FORMAT` took over; may be repeated:
                        nextcloud:FILE, powershell-universal:FILE, blake3:FILE (with their secret),
                        forgejo, gitea, sanctum, sha256, blake3, plain, phc, nuxeo
  --max-candidates N    how many such tokens may share an owner or an ending, as `admin import`
                        was told; 20 by default, and never less later
  --audit FILE          the audit log, JSON lines, appended to; standard error by default
  --ask-again-after T   how old a sign-in may be to make a token; 5 minutes by default
  --proxy ADDR          a proxy in front, believed in X-Forwarded-For; may be repeated
  --sso-header NAME     a login proxy names the user in this header; there are no passwords then
  --sso-from ADDR       the address of that proxy, the only one that is believed
  --sso-time-header NAME  in this header it says when the user signed in, in seconds since 1970;
                        without it, a fresh sign-in at /again is believed and not proved";

/// The options that all hosts share.
pub struct CommonOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder for the tokens and the key file.
    pub data: PathBuf,
    /// The store, if it is not in that folder.
    pub store: Option<StoreChoice>,
    /// The policy file, if the built-in one is not enough.
    pub policy: Option<PathBuf>,
    /// The audit log's file, if it isn't standard error.
    pub audit: Option<PathBuf>,
    /// Whose tokens are let in besides our own.
    pub import: ImportChoice,
    /// What stands in front.
    pub front: Front,
    /// How old a sign-in may be to make a token.
    pub ask_again_after: Duration,
    users: Users,
    rule: UsernameRule,
}

enum Users {
    File(PathBuf),
    Demo(Vec<(String, String)>),
    Nobody,
}

/// The value of an option, which is taken from the arguments when it is asked for.
pub type Value<'a> = &'a mut dyn FnMut() -> Result<String, String>;

impl CommonOptions {
    /// Parses the command line. `None` if it asks for help.
    ///
    /// `own` gets the options that are not shared. It returns whether the host has such an option.
    pub fn parse(
        arguments: impl Iterator<Item = OsString>,
        mut own: impl FnMut(&str, Value<'_>) -> Result<bool, String>,
    ) -> Result<Option<CommonOptions>, String> {
        let mut arguments = arguments
            .map(|argument| argument.into_string().map_err(|_| NOT_UTF8.to_owned()))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (mut data, mut file, mut users) = (None, None, Vec::new());
        let (mut store, mut policy, mut rule) = (None, None, UsernameRule::default());
        let (mut audit, mut import) = (None, ImportChoice::default());
        let (mut front, mut sso_header, mut sso_from) = (Front::default(), None, None);
        let mut sso_time_header = None;
        let mut ask_again_after = session::FRESH;
        while let Some(argument) = arguments.next() {
            let (option, mut joined) = match argument.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || {
                joined.take().or_else(|| arguments.next()).ok_or(format!("{option} needs a value"))
            };
            match option.as_str() {
                "--help" | "-h" => return Ok(None),
                "--listen" => {
                    listen = parsed(&option, "ADDR:PORT, such as 127.0.0.1:8080", &value()?)?;
                }
                "--public-url" => {
                    front.public = Some(value()?.parse().map_err(named("--public-url"))?);
                }
                "--data" => data = Some(PathBuf::from(value()?)),
                "--users" => file = Some(PathBuf::from(value()?)),
                "--user" => {
                    let user = parse_user(&value()?)?;
                    if users.iter().any(|(name, _)| *name == user.0) {
                        return Err(format!("--user {} is given twice; give it once", user.0));
                    }
                    users.push(user);
                }
                "--username-rule" => {
                    rule = value()?.parse().map_err(named("--username-rule"))?;
                }
                "--store" => store = Some(value()?),
                "--policy" => policy = Some(PathBuf::from(value()?)),
                "--audit" => audit = Some(PathBuf::from(value()?)),
                "--import" => import.add(&value()?).map_err(named("--import"))?,
                "--max-candidates" => {
                    import.set_max_candidates(parsed(&option, "a number from 1", &value()?)?);
                }
                "--ask-again-after" => {
                    let Period(period) =
                        parsed(&option, "a time, such as \"5 minutes\"", &value()?)?;
                    ask_again_after = period;
                }
                "--proxy" => {
                    front.proxies.push(parsed(&option, "an address", &value()?)?);
                }
                "--sso-header" => {
                    sso_header = Some(parsed(&option, A_HEADER, &value()?)?);
                }
                "--sso-time-header" => {
                    sso_time_header = Some(parsed(&option, A_HEADER, &value()?)?);
                }
                "--sso-from" => sso_from = Some(parsed(&option, "an address", &value()?)?),
                name if own(name, &mut value)? => {}
                // What doesn't look like an option is not repeated: it may be a password.
                name if is_option(name) => return Err(format!("there is no option {option}")),
                _ => return Err("an argument has no option before it; see the usage".into()),
            }
        }
        let data =
            data.ok_or("--data DIR is missing; name a folder for the tokens and the key file")?;
        front.login_proxy = match (sso_header, sso_from) {
            (None, None) if sso_time_header.is_some() => {
                return Err("--sso-time-header needs --sso-header and --sso-from; give all".into());
            }
            (None, None) => None,
            (Some(header), Some(from)) => {
                Some(LoginProxy { header, from, time_header: sso_time_header })
            }
            _ => return Err("--sso-header and --sso-from need each other; give both".into()),
        };
        let users = match (file, users) {
            (Some(_), users) if !users.is_empty() => {
                return Err("--users and --user exclude each other; put all into the file".into());
            }
            (Some(file), _) => Users::File(file),
            (None, users) if users.is_empty() => Users::Nobody,
            (None, users) => Users::Demo(users),
        };
        if matches!(users, Users::Nobody) && !listen.ip().is_loopback() {
            return Err("other machines can reach this address; name the accounts: --users FILE, \
                        or for a demo --user NAME:PASSWORD"
                .into());
        }
        let store = StoreChoice::told(store.as_deref())?;
        Ok(Some(CommonOptions {
            listen,
            data,
            store,
            policy,
            audit,
            import,
            front,
            ask_again_after,
            users,
            rule,
        }))
    }

    /// Opens the accounts. Those of a demo are announced loudly.
    pub fn accounts(&self) -> Result<Accounts, String> {
        self.accounts_with(&[])
    }

    /// Opens the accounts. Those of a demo have these roles, as only a users file has roles.
    pub fn accounts_with(&self, roles: &[&str]) -> Result<Accounts, String> {
        let accounts = self.accounts_and_passwords(roles)?;
        Ok(if self.has_passwords() { accounts } else { accounts.without_passwords() })
    }

    fn accounts_and_passwords(&self, roles: &[&str]) -> Result<Accounts, String> {
        let users = match &self.users {
            Users::File(path) => return Accounts::from_file(path, self.rule),
            Users::Demo(users) => {
                log::say(
                    "--user is for demos only: other users of this machine can read the \
                          passwords; use --users FILE instead",
                );
                users.clone()
            }
            Users::Nobody => vec![("demo".to_owned(), "demo".to_owned())],
        };
        let account = |(name, password): (String, String)| {
            let owner = Owner::new(&name).map_err(|why| format!("--user: {why}"))?;
            let password = Some(Password::hash(&password));
            let roles = roles.iter().map(|&role| role.to_owned()).collect();
            let (mail, is_disabled) = (None, false);
            Ok(Account { name, owner, mail, roles, is_disabled, password })
        };
        let accounts = users.into_iter().map(account).collect::<Result<_, String>>()?;
        Ok(Accounts::fixed(accounts, self.rule))
    }

    /// Returns whether there is only the demo account, with its password.
    pub fn is_demo(&self) -> bool {
        matches!(self.users, Users::Nobody) && self.has_passwords()
    }

    /// Returns whether people sign in by a main password, and not at a login proxy.
    pub fn has_passwords(&self) -> bool {
        self.front.login_proxy.is_none()
    }

    /// Returns the users file, if there is one.
    pub fn users_file(&self) -> Option<&Path> {
        match &self.users {
            Users::File(path) => Some(path),
            _ => None,
        }
    }

    /// Warns if other machines can reach the host, and no TLS is in front.
    pub fn print_warning(&self) {
        if !self.listen.ip().is_loopback() && !self.front.is_secure() {
            println!(
                "other machines can reach this without TLS; put a proxy with TLS in front of it"
            );
        }
    }

    /// Refuses to serve a folder that holds the key file, the rows or the password hashes.
    ///
    /// The paths are compared after links and `..` are resolved.
    pub fn refuse_to_serve(&self, option: &str, served: &Path) -> Result<(), String> {
        let rows = match &self.store {
            Some(StoreChoice::Sqlite(path)) => Some(&**path),
            _ => None,
        };
        let kept = [
            ("--data", Some(&*self.data), "the key file"),
            ("--store", rows, "the rows"),
            ("--users", self.users_file(), "the password hashes"),
        ];
        let served = resolved(served)?;
        for (name, path, what) in kept {
            let Some(path) = path else { continue };
            let kept = resolved(path)?;
            if kept.starts_with(&served) || served.starts_with(&kept) {
                return Err(format!(
                    "{option} and {name} overlap, so {what} would be served; separate them"
                ));
            }
        }
        Ok(())
    }
}

/// Returns the options, or the status to exit with: 0 if help was asked for, 2 for a mistake.
///
/// # Errors
/// The status to exit with, after the usage text was printed.
pub fn or_exit<T>(parsed: Result<Option<T>, String>, usage: &str) -> Result<T, ExitCode> {
    match parsed {
        Ok(Some(options)) => Ok(options),
        Ok(None) => {
            println!("{usage}");
            Err(ExitCode::SUCCESS)
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{usage}");
            Err(ExitCode::from(2))
        }
    }
}

const A_HEADER: &str = "a header's name";
const NOT_UTF8: &str = "an argument is not UTF-8; write it in UTF-8";

fn parsed<T: std::str::FromStr>(option: &str, form: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} needs {form}"))
}

fn named(option: &str) -> impl Fn(String) -> String {
    move |why| format!("{option}: {why}")
}

fn is_option(name: &str) -> bool {
    let letters = name.strip_prefix("--").unwrap_or_default();
    !letters.is_empty() && letters.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn parse_user(value: &str) -> Result<(String, String), String> {
    let (name, password) = value.split_once(':').ok_or("--user needs NAME:PASSWORD")?;
    check_name("name", name).map_err(named("--user"))?;
    if password.is_empty() {
        return Err(format!("--user {name}: the password is empty; choose one"));
    }
    if password.chars().any(char::is_control) {
        return Err(format!(
            "--user {name}: HTTP Basic can't carry the password's control character; \
             choose another password"
        ));
    }
    Ok((name.into(), password.into()))
}

/// Resolves a path, also where its end does not exist yet.
fn resolved(path: &Path) -> Result<PathBuf, String> {
    let whole = std::path::absolute(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut found = PathBuf::new();
    for part in whole.components() {
        match part {
            // After a link, `..` leads out of where the link leads to.
            std::path::Component::ParentDir => {
                found.pop();
            }
            part => found.push(part),
        }
        // What does not exist stays as it is written.
        if let Ok(real) = found.canonicalize() {
            found = real;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<CommonOptions>, String> {
        let arguments = arguments.iter().map(OsString::from);
        CommonOptions::parse(arguments, |name, value| match name {
            "--own" => value().map(|_| true),
            _ => Ok(false),
        })
    }

    fn refused(arguments: &[&str]) -> String {
        parse(arguments).err().expect("refused")
    }

    #[test]
    fn a_value_may_be_joined_and_a_host_has_options_of_its_own() {
        let options =
            parse(&["--data=d", "--own", "x", "--listen", "[::1]:0", "--ask-again-after=0s"]);
        let options = options.unwrap().unwrap();
        assert_eq!((options.data, options.listen), ("d".into(), "[::1]:0".parse().unwrap()));
        assert!(options.ask_again_after.is_zero());
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn no_error_repeats_what_may_be_a_password() {
        for arguments in [
            &["--data", "d", "hunter2"][..],
            &["--data", "d", "--hunter2!"],
            &["--data", "d", "--no-such-option=hunter2"],
            &["--data", "d", "--user", "hunter2"],
            &["--data", "d", "--listen", "hunter2"],
            &["--data", "d", "--public-url", "hunter2"],
            &["--data", "d", "--username-rule", "hunter2"],
            &["--data", "d", "--store", "hunter2"],
            &["--data", "d", "--ask-again-after", "hunter2"],
            &["--data", "d", "--sso-from", "hunter2"],
            &["--data", "d", "--sso-header", "hunter2:"],
            &["--data", "d", "--sso-time-header", "hunter2:"],
        ] {
            let error = refused(arguments);
            assert!(!error.contains("hunter2"), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let with = |more: &[&str]| refused(&[&["--data", "d"], more].concat());
        assert!(with(&["--users", "u", "--user", "a:b"]).contains("exclude each other"));
        assert!(with(&["--sso-header", "remote-user"]).contains("give both"));
        assert!(with(&["--sso-time-header", "x-auth-time"]).contains("give all"));
        assert!(with(&["--listen", "0.0.0.0:1"]).contains("name the accounts"));
        assert!(with(&["--user", "a:b", "--user", "a:c"]).contains("--user a is given twice"));
    }

    #[cfg(unix)]
    #[test]
    fn a_served_folder_never_holds_the_keys_however_its_path_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("data/demo")).unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        let data = root.join("data/demo");
        let options = parse(&["--data", data.to_str().unwrap()]).unwrap().unwrap();
        for overlapping in
            ["data", "link", "link/demo", "other/../data", "data/demo/new/deep", "link/../data", ""]
        {
            let served = root.join(overlapping);
            assert!(options.refuse_to_serve("--files", &served).is_err(), "{overlapping}");
        }
        for apart in ["files", "data/files", "link/files/new", "data/demonstration"] {
            assert_eq!(options.refuse_to_serve("--files", &root.join(apart)), Ok(()), "{apart}");
        }
    }
}
