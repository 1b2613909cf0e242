//! The command line: the options of all hosts, and what the forge prints and makes at the start.

use std::ffi::OsString;
use std::io::ErrorKind;

use app_tokens::Owner;
use shared::options::CommonOptions;
use shared::page::wording::Wording;

use crate::{Error, Forge};

/// What the command line says.
pub struct Options {
    pub common: CommonOptions,
    pub wording: Wording,
}

const USAGE: &str = "\
usage: forge --data DIR [--wording NAME] [the options below]...

  --wording NAME        how the page speaks: forge (default), codeberg, or nuxeo, whose tokens
                        have a name and nothing to choose
";

pub fn usage() -> String {
    format!("{USAGE}{}", shared::options::USAGE)
}

impl Options {
    /// Parses the command line. `None` if it asks for help.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let mut wording = Wording { product: "Forge", ..Wording::FORGEJO };
        let common = CommonOptions::parse(arguments, |option, value| {
            if option != "--wording" {
                return Ok(false);
            }
            wording = match &*value()? {
                "forge" => wording.clone(),
                "codeberg" => Wording { product: "Codeberg", ..Wording::FORGEJO },
                "nuxeo" => Wording::NUXEO,
                _ => return Err("--wording needs forge, codeberg or nuxeo".into()),
            };
            Ok(true)
        })?;
        Ok(common.map(|common| Options { common, wording }))
    }

    /// Prints where the forge is, and lines to try.
    pub fn print_welcome(&self, url: &str) {
        if !self.common.listen.ip().is_loopback() && !self.common.front.is_secure() {
            println!(
                "other machines can reach this without TLS; put a proxy with TLS in front of it"
            );
        }
        println!("The forge is at {url}/");
        if self.common.is_demo() {
            Options::print_lines_to_try(url);
        }
        println!("Ctrl-C stops it.");
    }

    fn print_lines_to_try(url: &str) {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        println!("Sign in as demo with the password demo. Or make an access token here:");
        println!("curl -u demo:demo {url}/api/v1/users/demo/tokens \\");
        println!(
            "    -d '{{\"name\": \"laptop\", \"scopes\": [\"write:repository\", \"read:user\"]}}'"
        );
        println!("and use the text behind \"sha1\":");
        println!("TOKEN=...");
        println!("git clone http://demo:$TOKEN@{host}/demo/hello.git");
        println!("curl -H \"Authorization: token $TOKEN\" {url}/api/v1/user");
    }
}

/// Makes the demo's repository at the first start, with one commit.
pub async fn make_demo(forge: &Forge) -> Result<(), Error> {
    let repo = match forge.repos.create(&Owner::new("demo")?, "hello", true).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        repo => repo?,
    };
    repo.begin("# Hello\n\nThis came by `git clone` and an access token.\n").await?;
    Ok(())
}
