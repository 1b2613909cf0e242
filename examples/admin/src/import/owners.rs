//! Whose account a name of the old system means: [`Owners`].

use std::collections::HashMap;
use std::path::Path;

use app_tokens::Owner;

use super::facts::NotTaken;
use super::lines::{Line, Lines};
use super::row::Row;
use crate::problem::Problem;

/// Maps the old system's names to this host's account ids.
pub struct Owners(HashMap<String, Owner>);

impl Owners {
    /// Reads a file with a line for each name: `{"name": "alice", "owner": "u-1001"}`.
    pub fn read(path: &Path) -> Result<Owners, Problem> {
        let mut lines = Lines::open(path)?;
        let mut owners = HashMap::new();
        while let Some(line) = lines.next()? {
            let wrong = |why: &str| {
                let (path, number) = (path.display(), lines.number());
                Problem::usage(format_args!("--owners {path}: line {number}: {why}"))
            };
            let Line::Whole(line) = line else { return Err(wrong("it is too long")) };
            let row = Row::parse(&line, &["name", "owner"]).map_err(|why| wrong(&why))?;
            let (Some(name), Some(owner)) = (row.text("name"), row.text("owner")) else {
                return Err(wrong("a name and an owner are texts or numbers"));
            };
            let owner = Owner::new(owner).map_err(|why| wrong(&why.to_string()))?;
            // Which of two lines is right is not for a program to guess.
            if owners.insert(name, owner).is_some() {
                return Err(wrong("the name has a line before; leave one of them"));
            }
        }
        Ok(Owners(owners))
    }

    /// Returns the account that a name means. Without a file, the name is the account id.
    pub fn owner(owners: Option<&Owners>, name: &str) -> Result<Owner, NotTaken> {
        match owners {
            None => Owner::new(name).map_err(NotTaken::refused),
            Some(Owners(known)) => {
                known.get(name).cloned().ok_or(NotTaken::skipped("the owner is not in --owners"))
            }
        }
    }
}
