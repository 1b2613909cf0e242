//! The options that only the cloud has, and the text printed at the start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use shared::options::{self, CommonOptions};
use shared::page::wording::Wording;

const USAGE: &str = "\
usage: cloud --data DIR [--files DIR] [--max-per-owner N] [--wording NAME] [the options below]...

  --files DIR           where files are kept, a folder for each account id; in memory by default
  --max-per-owner N     how many live app passwords an account may have;
                        any number by default, or the number in the policy file
  --wording NAME        how the page speaks: cloud (default), opencloud or nextcloud
";

/// Returns how the cloud is called.
pub fn usage() -> String {
    format!("{USAGE}{}", options::USAGE)
}

pub struct Options {
    pub common: CommonOptions,
    pub files: Option<PathBuf>,
    pub max_per_owner: Option<u32>,
    pub wording: Wording,
}

impl Options {
    /// Parses the command line. `None` if it asks for help.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let (mut files, mut max_per_owner) = (None, None);
        let mut wording = Wording::APP_PASSWORDS;
        let common = CommonOptions::parse(arguments, |option, value| {
            match option {
                "--files" => files = Some(PathBuf::from(value()?)),
                "--max-per-owner" => {
                    let number = value()?.parse().ok().filter(|number| *number > 0);
                    max_per_owner =
                        Some(number.ok_or("--max-per-owner needs a number of 1 or more")?);
                }
                "--wording" => {
                    wording = match &*value()? {
                        "cloud" => Wording::APP_PASSWORDS,
                        "opencloud" => Wording::OPENCLOUD,
                        "nextcloud" => Wording::NEXTCLOUD,
                        _ => return Err("--wording needs cloud, opencloud or nextcloud".into()),
                    };
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let Some(common) = common else {
            return Ok(None);
        };
        if common.policy.is_some() && max_per_owner.is_some() {
            return Err("--max-per-owner can't be given with --policy; set it in that file".into());
        }
        if let Some(files) = &files {
            common.refuse_to_serve("--files", files)?;
        }
        Ok(Some(Options { common, files, max_per_owner, wording }))
    }

    /// Prints where the cloud is, and what to do next. `name` is an account's.
    pub fn print_welcome(&self, address: SocketAddr, url: &str, prefix: &str, name: &str) {
        if !address.ip().is_loopback() && !self.common.front.is_secure() {
            println!(
                "other machines can reach this without TLS; put a proxy with TLS in front of it"
            );
        }
        println!("cloud is at {url}/");
        println!("its JSON API is described at {url}/api/openapi.json");
        let sign_in = if self.common.is_demo() {
            println!("no account was named, so there is a demo account: user demo, password demo");
            "demo:demo"
        } else {
            name
        };
        println!();
        println!("Create an app password on that page, or here:");
        println!("  curl -u {sign_in} {url}/api/tokens -d '{{\"label\":\"My laptop\"}}'");
        println!("and use it with any WebDAV client:");
        println!("  TOKEN={prefix}_...");
        println!("  curl -u {name}:$TOKEN -T README.md {url}/dav/");
        println!(
            "  rclone lsf \":webdav,url='{url}/dav/',vendor=other,\
             user={name},pass=$(rclone obscure $TOKEN):\""
        );
    }
}
