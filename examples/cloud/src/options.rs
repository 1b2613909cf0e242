//! The options that only the cloud has, and the text printed at the start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::HeaderValue;
use shared::options::{self, CommonOptions};
use shared::page::wording::Wording;

const USAGE: &str = "\
usage: cloud --data DIR [--files DIR] [--max-per-owner N] [--wording NAME] [--cors ORIGIN]
             [--accept-passwords] [the options below]...

  --files DIR           where files are kept, a folder for each account id; DATA/files by default
  --max-per-owner N     how many live app passwords an account may have;
                        any number by default, or the number in the policy file
  --wording NAME        how the page speaks: cloud (default), opencloud or nextcloud
  --cors ORIGIN         an origin whose pages may call WebDAV with an app password
  --accept-passwords    for months of transition: WebDAV also takes the main password, and
                        the log says who still uses it
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
    pub cors: Option<HeaderValue>,
    pub accept_passwords: bool,
}

impl Options {
    /// Parses the command line. `None` if it asks for help.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let (mut files, mut max_per_owner) = (None, None);
        let mut wording = Wording::APP_PASSWORDS;
        let (mut cors, mut accept_passwords) = (None, false);
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
                "--cors" => cors = Some(parse_origin(&value()?)?),
                "--accept-passwords" => accept_passwords = true,
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
        if accept_passwords && !common.has_passwords() {
            return Err("behind a login proxy there are no main passwords; leave out \
                        --accept-passwords or --sso-header"
                .into());
        }
        if let Some(files) = &files {
            common.refuse_to_serve("--files", files)?;
        }
        Ok(Some(Options { common, files, max_per_owner, wording, cors, accept_passwords }))
    }

    /// Prints where the cloud is, and what to do next. `name` is an account's.
    pub fn print_welcome(&self, address: SocketAddr, url: &str, prefix: &str, name: &str) {
        self.common.print_warning();
        println!("cloud is at {url}/");
        if self.common.front.public.is_some() {
            println!("it listens at {address}");
        }
        println!("its JSON API is described at {url}/api/openapi.json");
        let sign_in = if self.common.is_demo() {
            println!("no account was named, so there is a demo account: user demo, password demo");
            "demo:demo"
        } else {
            name
        };
        println!();
        if self.common.has_passwords() {
            println!("Create an app password on that page, or here:");
            println!("  curl -u {sign_in} {url}/api/tokens -d '{{\"label\":\"My laptop\"}}'");
            println!("and use it with any WebDAV client:");
        } else {
            println!("Create an app password on that page, and use it with any WebDAV client:");
        }
        println!("  TOKEN={prefix}_...");
        println!("  curl -u {name}:$TOKEN -T README.md {url}/dav/");
        println!(
            "  rclone lsf \":webdav,url='{url}/dav/',vendor=other,\
             user={name},pass=$(rclone obscure $TOKEN):\""
        );
    }
}

/// Parses an origin, as browsers send it.
fn parse_origin(value: &str) -> Result<HeaderValue, String> {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '@']));
    let origin = HeaderValue::from_str(value).ok().filter(|_| is_origin);
    origin.ok_or("--cors needs an origin such as https://notes.example, without a path".into())
}
