//! The users file: an account a line, its fields separated by white space.
//!
//! ```text
//! # name  account id  mail               password hash
//! alice   u-1001      alice@example.org  $argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$…
//! bob     u-1002      -                  !$argon2id$…        roles=Operator,Reader
//! ```
//!
//! - The name may change, and may later be another person's. The account id owns the
//!   tokens, so it stays and is never given away.
//! - `-` stands for no mail, and for no password: such an account signs in through a proxy only.
//! - A `!` before the hash disables the account, as in shadow(5).
//! - `admin hash-password` makes a hash.

use std::collections::HashSet;

use app_tokens::Owner;

use super::{Account, Password};

/// Reads the text of a users file. An error names the line, and never repeats a hash.
pub fn parse(text: &str) -> Result<Vec<Account>, String> {
    let mut accounts = Vec::new();
    let mut taken = HashSet::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let account = parse_line(line).map_err(|why| format!("line {number}: {why}"))?;
        let names = [
            ("name", Some(account.name.clone())),
            ("account id", Some(account.owner.to_string())),
            ("mail", account.mail.as_ref().map(|mail| mail.to_lowercase())),
        ];
        for (what, name) in names {
            if name.is_some_and(|name| !taken.insert((what, name))) {
                return Err(format!("line {number}: another account has this {what}"));
            }
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn parse_line(line: &str) -> Result<Account, String> {
    let mut fields = line.split_whitespace();
    let mut next = || fields.next().ok_or("it needs a name, an account id, a mail and a hash");
    let (name, id, mail, hash) = (next()?, next()?, next()?, next()?);
    check_name("name", name)?;
    check_name("account id", id)?;
    let owner = Owner::new(id).map_err(|why| why.to_string())?;
    let mail = match mail {
        "-" => None,
        mail if mail.contains('@') => Some(mail.to_owned()),
        _ => return Err("the mail has no @; write - for none".into()),
    };
    let (is_disabled, hash) = match hash.strip_prefix('!') {
        Some(hash) => (true, hash),
        None => (false, hash),
    };
    let password = match hash {
        "-" | "" => None,
        hash if hash.starts_with('$') => Some(Password::from_hash(hash)),
        // Not repeated: it may be a password in clear.
        _ => return Err("the hash is not in PHC form; make one by `admin hash-password`".into()),
    };
    let mut roles = Vec::new();
    for field in fields {
        let named =
            field.strip_prefix("roles=").ok_or("after the hash, only roles=A,B is known")?;
        roles.extend(named.split(',').filter(|role| !role.is_empty()).map(str::to_owned));
    }
    Ok(Account { name: name.into(), owner, mail, roles, is_disabled, password })
}

/// Checks a name that also becomes the name of a folder, and stands before the colon of HTTP Basic.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c));
    if name.is_empty() || name.starts_with('.') || !is_plain || name.chars().count() > 128 {
        return Err(format!(
            "use letters, digits and - _ . @ in the {what}; it can't begin with a dot"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn every_field_is_read_and_comments_are_not() {
        let text = format!(
            "# comment\n\nalice u-1 a@example.org {HASH}\n\tbob\tu-2\t-\t!{HASH} roles=A,B\n\
             c u-3 - -"
        );
        let accounts = parse(&text).unwrap();
        let [alice, bob, c] = &accounts[..] else { panic!("{}", accounts.len()) };
        assert_eq!((&*alice.name, alice.owner.as_str()), ("alice", "u-1"));
        assert_eq!(alice.mail.as_deref(), Some("a@example.org"));
        assert!(alice.is_active() && alice.password.is_some());
        assert!(!bob.is_active() && bob.password.is_some() && bob.mail.is_none());
        assert_eq!(bob.roles, ["A", "B"]);
        assert!(c.is_active() && c.password.is_none());
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_its_hash_is_not() {
        let two = |second: &str| format!("alice u-1 a@x {HASH}\n{second}");
        for (line, why) in [
            ("alice u-2 - -", "line 2: another account has this name"),
            ("bob u-1 - -", "line 2: another account has this account id"),
            ("bob u-2 A@X -", "line 2: another account has this mail"),
            ("bob u-2 -", "line 2: it needs a name, an account id, a mail and a hash"),
            ("bob u-2 mail -", "line 2: the mail has no @; write - for none"),
            (
                "../up u-2 - -",
                "line 2: use letters, digits and - _ . @ in the name; it can't begin with a dot",
            ),
            (
                "b .. - -",
                "line 2: use letters, digits and - _ . @ in the account id; it can't begin with a \
                 dot",
            ),
            ("b u-2 - - x=y", "line 2: after the hash, only roles=A,B is known"),
            (
                "b u-2 - hunter2",
                "line 2: the hash is not in PHC form; make one by `admin hash-password`",
            ),
        ] {
            assert_eq!(parse(&two(line)).unwrap_err(), why, "{line}");
        }
    }
}
