//! The repositories on disk.
//!
//! `DIR/repos/ACCOUNT/NAME.git`, by account id, so that a renamed account keeps its repositories.
//! Each has a number that no other ever gets, also if it has the name of a deleted one.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app_tokens::Owner;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::fs;

use crate::git;
use crate::problem::Problem;

/// All repositories.
#[derive(Clone)]
pub struct Repos(Arc<Path>);

/// A repository.
#[derive(Clone, Debug)]
pub struct Repo {
    /// The account that owns it.
    pub owner: Owner,
    /// Its name, without `.git`.
    pub name: String,
    /// The folder that git works in.
    pub folder: PathBuf,
    /// What is noted about it.
    pub facts: Facts,
}

/// What the forge notes about a repository, in a file inside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Its number.
    pub id: u64,
    /// Whether only its owner sees it.
    pub private: bool,
}

impl Repos {
    /// Opens the repositories below a folder, which is made if it is missing.
    ///
    /// # Errors
    /// An error of the file system.
    pub async fn open(data: &Path) -> io::Result<Repos> {
        let root = data.join("repos");
        fs::create_dir_all(root.join(".numbers")).await?;
        fs::create_dir_all(root.join(".parts")).await?;
        Ok(Repos(root.into()))
    }

    fn folder(&self, owner: &Owner, name: &str) -> Option<PathBuf> {
        // Account ids are checked where accounts are read: no slash, no dot first.
        is_name(name).then(|| self.0.join(owner.as_str()).join(format!("{name}.git")))
    }

    /// Finds a repository. A text that is no name finds none.
    ///
    /// # Errors
    /// An error of the file system.
    pub async fn find(&self, owner: &Owner, name: &str) -> io::Result<Option<Repo>> {
        let (repos, owner, name) = (self.clone(), owner.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || repos.find_now(&owner, &name)).await?
    }

    /// Finds a repository at once, for code that can't wait.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn find_now(&self, owner: &Owner, name: &str) -> io::Result<Option<Repo>> {
        let Some(folder) = self.folder(owner, name) else { return Ok(None) };
        let facts = match std::fs::read(folder.join("forge.json")) {
            Ok(facts) => serde_json::from_slice(&facts)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Repo { owner: owner.clone(), name: name.into(), folder, facts }))
    }

    /// Lists an account's repositories by name.
    ///
    /// # Errors
    /// An error of the file system.
    pub async fn of(&self, owner: &Owner) -> io::Result<Vec<Repo>> {
        let mut found = Vec::new();
        let mut entries = match fs::read_dir(self.0.join(owner.as_str())).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".git")) {
                found.extend(self.find(owner, name).await?);
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Makes a repository.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one, `InvalidInput` if the name is none. Otherwise an error of
    /// the file system, or of git.
    pub async fn create(&self, owner: &Owner, name: &str, private: bool) -> io::Result<Repo> {
        let folder = self.folder(owner, name).ok_or(ErrorKind::InvalidInput)?;
        let facts = Facts { id: self.number(&format!("{owner}/{name}")).await?, private };
        let part = self.0.join(".parts").join(facts.id.to_string());
        git::run(None, &["init", "--quiet", "--bare", "--initial-branch=main"], Some(&part))
            .await?;
        fs::write(part.join("forge.json"), serde_json::to_vec(&facts)?).await?;
        fs::create_dir_all(self.0.join(owner.as_str())).await?;
        // Whole or not at all; and of two with one name, the second finds the first one's folder.
        if let Err(error) = fs::rename(&part, &folder).await {
            let _left_behind = fs::remove_dir_all(&part).await;
            let is_there = error.kind() == ErrorKind::DirectoryNotEmpty || folder.exists();
            return Err(if is_there { ErrorKind::AlreadyExists.into() } else { error });
        }
        Ok(Repo { owner: owner.clone(), name: name.into(), folder, facts })
    }

    /// Deletes a repository. It is gone at once, whatever is still open.
    ///
    /// # Errors
    /// An error of the file system.
    pub async fn delete(&self, repo: &Repo) -> io::Result<()> {
        let gone = self.0.join(".parts").join(format!("deleted-{}", repo.facts.id));
        fs::rename(&repo.folder, &gone).await?;
        fs::remove_dir_all(&gone).await
    }

    /// Returns a number that was never returned before, also not by another process. `whose` is
    /// noted with it.
    ///
    /// # Errors
    /// An error of the file system.
    pub async fn number(&self, whose: &str) -> io::Result<u64> {
        let numbers = self.0.join(".numbers");
        let mut used = 0;
        let mut entries = fs::read_dir(&numbers).await?;
        while let Some(entry) = entries.next_entry().await? {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            used = used.max(number.unwrap_or(0));
        }
        loop {
            used += 1;
            match fs::File::create_new(numbers.join(used.to_string())).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made?;
                    fs::write(numbers.join(used.to_string()), whose).await?;
                    return Ok(used);
                }
            }
        }
    }

    /// Finds a repository by its number. `None` if it was deleted.
    ///
    /// Two small files are read at once, as this is also asked where a page is written.
    pub fn by_number(&self, id: u64) -> Option<Repo> {
        let whose = std::fs::read_to_string(self.0.join(".numbers").join(id.to_string())).ok()?;
        let (owner, name) = whose.split_once('/')?;
        self.find_now(&Owner::new(owner).ok()?, name).ok()?.filter(|repo| repo.facts.id == id)
    }
}

impl Repo {
    /// Makes the first commit, with a file for people to read.
    ///
    /// # Errors
    /// An error of the file system, or of git.
    pub async fn begin(&self, readme: &str) -> io::Result<()> {
        let file = self.folder.join("description");
        fs::write(&file, readme).await?;
        let folder = Some(&*self.folder);
        let blob = git::run(folder, &["hash-object", "-w"], Some(&file)).await?;
        let index = format!("100644,{blob},README.md");
        git::run(folder, &["update-index", "--add", "--cacheinfo", &index], None).await?;
        let tree = git::run(folder, &["write-tree"], None).await?;
        let name = ["-c", "user.name=The forge", "-c", "user.email=forge@localhost"];
        let commit = ["commit-tree", "-m", "Say hello", &tree];
        let commit = git::run(folder, &[&name[..], &commit].concat(), None).await?;
        git::run(folder, &["update-ref", "refs/heads/main", &commit], None).await?;
        Ok(())
    }

    /// Describes it as Forgejo does, for a client that knows its owner by this name.
    pub fn describe(&self, url: &str, owner: &str, may_push: bool) -> Value {
        let full_name = format!("{owner}/{}", self.name);
        json!({
            "id": self.facts.id,
            "name": self.name,
            "full_name": full_name,
            "owner": { "login": owner },
            "private": self.facts.private,
            "default_branch": "main",
            "clone_url": format!("{url}/{full_name}.git"),
            "permissions": { "pull": true, "push": may_push },
        })
    }

    /// Returns the commit that a name stands for.
    ///
    /// # Errors
    /// git's, if there is none.
    pub async fn commit(&self, name: &str) -> io::Result<String> {
        let commit = format!("{name}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
        git::run(Some(&self.folder), &arguments, None).await
    }
}

/// Says why [`Repos::create`] made none.
pub fn not_made(error: &io::Error) -> Problem {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            Problem::new(StatusCode::CONFLICT, "a repository has this name already; choose another")
        }
        ErrorKind::InvalidInput => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "use letters, digits and - _ . in the name, no dot or dash first, no .git last",
        ),
        _ => Problem::failed("a new repository", error),
    }
}

/// Returns whether a text may name a repository. Such a name has one reading on every file system
/// and in every URL.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends_badly = [".", ".git", ".lock"].iter().any(|end| name.ends_with(end));
    (1..=100).contains(&name.len())
        && name.chars().all(is_plain)
        && !name.starts_with(['.', '-'])
        && !ends_badly
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_folder_of_its_owner() {
        for good in ["site", "my.site", "a", "A-b_c.1"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(101);
        for bad in
            ["", ".", "..", ".git", "a/b", "a\\b", "a.git", "a.lock", "-x", "a\0", "é", "a ", &long]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_new_repository_with_an_old_name_has_another_number() {
        let data = tempfile::tempdir().unwrap();
        let repos = Repos::open(data.path()).await.unwrap();
        let alice = Owner::new("alice").unwrap();
        let first = repos.create(&alice, "site", true).await.unwrap();
        let again = repos.create(&alice, "site", true).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        repos.delete(&first).await.unwrap();
        assert!(repos.find(&alice, "site").await.unwrap().is_none());
        let second = repos.create(&alice, "site", true).await.unwrap();
        assert_ne!(first.facts.id, second.facts.id);
        assert!(repos.by_number(first.facts.id).is_none());
        assert_eq!(repos.by_number(second.facts.id).unwrap().name, "site");
    }
}
