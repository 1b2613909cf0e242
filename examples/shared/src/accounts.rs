//! The host's accounts: who there is, which name clients send, who has which main password.
//!
//! An account has a login name, which may change, and an id, which owns the tokens and never
//! becomes another person's. They come from a [users file](mod@file), which is read again when it
//! has changed.

mod brake;
pub mod file;
mod lately;
mod password;

use std::fs::{self, File};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use app_tokens::Owner;
use app_tokens::token::Token;
use app_tokens::web::{self, AccountsError};
use axum::http::StatusCode;

use crate::{audit, log};
use brake::Brake;
use lately::Lately;
pub use password::Password;

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// What its person signs in with. It may change.
    pub name: String,
    /// The account id. It owns the tokens.
    pub owner: Owner,
    /// The mail address, if there is one.
    pub mail: Option<String>,
    /// The roles, for hosts that have some.
    pub roles: Vec<String>,
    /// Whether it may not log in at all, by any means.
    pub is_disabled: bool,
    /// The main password. `None` if it has none, and signs in through a login proxy.
    pub password: Option<Password>,
}

impl Account {
    /// Returns whether it may log in.
    pub fn is_active(&self) -> bool {
        !self.is_disabled
    }

    /// Returns whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

/// Which name clients send beside a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsernameRule {
    /// The login name.
    #[default]
    Login,
    /// The account id, for hosts whose login names come from elsewhere.
    Uuid,
    /// The mail address. An account without one can't send a name.
    Email,
}

impl FromStr for UsernameRule {
    type Err = String;
    fn from_str(text: &str) -> Result<UsernameRule, String> {
        match text {
            "login" => Ok(UsernameRule::Login),
            "uuid" => Ok(UsernameRule::Uuid),
            "email" => Ok(UsernameRule::Email),
            _ => Err("write login, uuid or email".into()),
        }
    }
}

/// Why a sign-in by main password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInRefused {
    /// The name or the password is wrong, or the account is disabled. They look alike.
    Wrong {
        /// How many more tries there are before a wait.
        tries_left: u32,
    },
    /// It was an app token. It opens no account, and counts as no guess.
    Token,
    /// A login proxy names the users, so nobody has a main password. Nothing was checked.
    NoPasswords,
    /// There were too many wrong passwords. Nothing was checked.
    Stopped {
        /// How long to wait.
        wait: Duration,
    },
    /// Too many sign-ins are waiting. Nothing was checked.
    Busy,
}

impl SignInRefused {
    /// Returns the answer to a program for which nothing was checked: the status, what to do, and
    /// how long to wait. `None` if the password was checked: each host asks for it in its own way.
    pub fn unchecked(self) -> Option<(StatusCode, &'static str, Option<Duration>)> {
        match self {
            SignInRefused::Wrong { .. } | SignInRefused::Token => None,
            SignInRefused::NoPasswords => Some((
                StatusCode::FORBIDDEN,
                "nobody has a main password here, as the login proxy in front names the users; \
                 make tokens on the settings page",
                None,
            )),
            SignInRefused::Stopped { wait } => Some((
                StatusCode::TOO_MANY_REQUESTS,
                "there were too many wrong passwords; wait before you try again",
                Some(wait),
            )),
            SignInRefused::Busy => Some((
                StatusCode::SERVICE_UNAVAILABLE,
                "too many sign in at this moment; try again",
                Some(Duration::from_secs(1)),
            )),
        }
    }
}

/// The accounts, their main passwords and the brake on these. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
    has_passwords: bool,
}

struct Inner {
    rule: UsernameRule,
    source: Source,
    checks: password::Checks,
    brake: Brake,
    lately: Lately,
}

enum Source {
    File { path: PathBuf, read: Mutex<ReadFile> },
    Fixed(Arc<[Account]>),
}

/// What was read last, and what the file looked like then.
struct ReadFile {
    accounts: Arc<[Account]>,
    stamp: Option<Stamp>,
    text: String,
}

/// A file that was changed has another stamp. One that was changed within the last seconds may not.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: (u64, u64),
}

/// The longest users file, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// File systems note times this coarsely at worst.
const COARSE: Duration = Duration::from_secs(2);

impl Accounts {
    /// Reads the users file. At the start a broken file is an error.
    pub fn from_file(path: &Path, rule: UsernameRule) -> Result<Accounts, String> {
        let refused = |why: String| format!("the users file {}: {why}", path.display());
        let stamp = stamp(path);
        let text = read(path).map_err(refused)?;
        let accounts = file::parse(&text).map_err(refused)?.into();
        let read = Mutex::new(ReadFile { accounts, stamp, text });
        Ok(Accounts::new(rule, Source::File { path: path.into(), read }))
    }

    /// Takes these accounts, for a demo.
    pub fn fixed(accounts: Vec<Account>, rule: UsernameRule) -> Accounts {
        Accounts::new(rule, Source::Fixed(accounts.into()))
    }

    fn new(rule: UsernameRule, source: Source) -> Accounts {
        // The salt of this hash is random, so the process has a key that nobody else knows.
        let lately = Lately::new(password::of_nobody().as_hash().to_owned());
        let checks = password::Checks::new();
        let inner = Inner { rule, source, checks, brake: Brake::new(), lately };
        Accounts { inner: Arc::new(inner), has_passwords: true }
    }

    /// Lets nobody sign in by a main password, whatever the users file says: behind a login proxy,
    /// each of them would be a way around it.
    #[must_use]
    pub fn without_passwords(self) -> Accounts {
        Accounts { has_passwords: false, ..self }
    }

    /// Returns all accounts as they are now.
    pub fn all(&self) -> Arc<[Account]> {
        match &self.inner.source {
            Source::Fixed(accounts) => accounts.clone(),
            Source::File { path, read } => {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                read.look_again(path);
                read.accounts.clone()
            }
        }
    }

    /// Finds an account by its login name.
    pub fn by_name(&self, name: &str) -> Option<Account> {
        self.all().iter().find(|account| account.name == name).cloned()
    }

    /// Finds an account by its id.
    pub fn by_owner(&self, owner: &Owner) -> Option<Account> {
        self.all().iter().find(|account| account.owner == *owner).cloned()
    }

    /// Returns the name that this account's clients send beside a token. `None` if the rule is
    /// `email` and it has no mail address.
    pub fn user_name<'a>(&self, account: &'a Account) -> Option<&'a str> {
        match self.inner.rule {
            UsernameRule::Login => Some(&account.name),
            UsernameRule::Uuid => Some(account.owner.as_str()),
            UsernameRule::Email => account.mail.as_deref(),
        }
    }

    /// Signs in by login name and main password. Each refusal is logged.
    ///
    /// # Errors
    /// [`SignInRefused`] if the account is not let in.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Account, SignInRefused> {
        if !self.has_passwords {
            audit::refused(from, Some(name), "no main passwords behind a login proxy");
            return Err(SignInRefused::NoPasswords);
        }
        // An app password in the wrong place must not stop its owner. Nor is an empty one a guess.
        if Token::parse_any_prefix(password.trim()).is_ok() {
            audit::refused(from, Some(name), "an app token instead of the main password");
            return Err(SignInRefused::Token);
        }
        if password.is_empty() {
            audit::refused(from, Some(name), "no password");
            return Err(SignInRefused::Wrong { tries_left: u32::MAX });
        }
        let may_go_on = || {
            self.inner.brake.ask(name, from).map_err(|wait| {
                audit::refused(from, Some(name), "too many wrong passwords");
                SignInRefused::Stopped { wait }
            })
        };
        // Before any comparison: else the right guess would still be told from the wrong ones.
        may_go_on()?;
        let account = self.by_name(name).filter(Account::is_active);
        if let Some(account) = &account
            && self.inner.lately.knows(account, password)
        {
            self.inner.brake.note_right(name, from);
            return Ok(account.clone());
        }
        let stored = account.as_ref().and_then(|account| account.password.as_ref());
        let is_right = match self.inner.checks.check(password, stored, may_go_on).await {
            Some(is_right) => is_right?,
            None => {
                audit::refused(from, Some(name), "too many sign-ins at once");
                return Err(SignInRefused::Busy);
            }
        };
        match account {
            Some(account) if is_right => {
                self.inner.lately.remember(&account, password);
                self.inner.brake.note_right(name, from);
                Ok(account)
            }
            _ => {
                audit::refused(from, Some(name), "wrong name or password");
                Err(SignInRefused::Wrong { tries_left: self.inner.brake.count(name, from) })
            }
        }
    }
}

/// What a token's login asks.
impl web::Accounts for Accounts {
    async fn owner_of(&self, name: &str) -> Result<Option<Owner>, AccountsError> {
        let all = self.all();
        let same = |account: &&Account| match (self.inner.rule, self.user_name(account)) {
            // People write their mail address in any case.
            (UsernameRule::Email, Some(own)) => own.to_lowercase() == name.to_lowercase(),
            (_, own) => own == Some(name),
        };
        Ok(all.iter().find(same).map(|account| account.owner.clone()))
    }

    async fn is_active(&self, owner: &Owner) -> Result<bool, AccountsError> {
        Ok(self.by_owner(owner).is_some_and(|account| account.is_active()))
    }
}

impl ReadFile {
    /// Reads the file again if it may have changed. A broken one is reported once, and the accounts
    /// that were good stay.
    fn look_again(&mut self, path: &Path) {
        let stamp = stamp(path);
        let is_settled = |stamp: &Stamp| {
            let age = stamp.modified.and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age > COARSE)
        };
        if stamp == self.stamp && stamp.as_ref().is_some_and(is_settled) {
            return;
        }
        let is_new = stamp != self.stamp;
        self.stamp = stamp;
        let parsed = match read(path) {
            Ok(text) if text == self.text => return,
            Ok(text) => {
                self.text = text;
                file::parse(&self.text)
            }
            Err(_) if !is_new => return,
            Err(why) => Err(why),
        };
        match parsed {
            Ok(accounts) => {
                log::say(format_args!(
                    "the users file was read again: {} accounts",
                    accounts.len()
                ));
                self.accounts = accounts.into();
            }
            Err(why) => log::say(format_args!(
                "the users file {} was not taken: {why}; the accounts stay as they were",
                path.display()
            )),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err("it is longer than 16 MiB; shorten it".into());
    }
    Ok(text)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let facts = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: facts.modified().ok(),
        length: facts.len(),
        #[cfg(unix)]
        inode: {
            use std::os::unix::fs::MetadataExt as _;
            (facts.dev(), facts.ino())
        },
    })
}
