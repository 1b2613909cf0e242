//! What is asked for on the command line, and what is printed in return.

use std::net::SocketAddr;
use std::path::PathBuf;

pub const USAGE: &str = "\
usage: cloud --data DIR [--listen ADDR:PORT] [--user NAME:PASSWORD]... [--files DIR] [--max-per-owner N]

  --data DIR            where tokens and the key file live; made if it isn't there
  --listen ADDR:PORT    where to listen; 127.0.0.1:8080 if not said, port 0 takes a free one
  --user NAME:PASSWORD  an account; may be repeated; without one there is a demo account
  --files DIR           where files live, a folder for each account; in memory if not said
  --max-per-owner N     how many live app passwords an account may have; any number if not said";

pub struct Options {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub users: Vec<(String, String)>,
    pub files: Option<PathBuf>,
    pub max_per_owner: Option<u32>,
    is_demo: bool,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (mut data, mut files, mut max_per_owner, mut users) = (None, None, None, Vec::new());
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--listen" => {
                    let value = value()?;
                    listen =
                        value.parse().map_err(|_| format!("--listen {value} is not ADDR:PORT"))?;
                }
                "--data" => data = Some(PathBuf::from(value()?)),
                "--files" => files = Some(PathBuf::from(value()?)),
                "--user" => users.push(parse_user(&value()?)?),
                "--max-per-owner" => {
                    let value = value()?;
                    let number = value.parse().ok().filter(|number| *number > 0);
                    max_per_owner =
                        Some(number.ok_or(format!("--max-per-owner {value} is no number from 1"))?);
                }
                _ => return Err(format!("there is no option {option}")),
            }
        }
        let data = data.ok_or("--data DIR is missing")?;
        let is_demo = users.is_empty();
        if is_demo && !listen.ip().is_loopback() {
            return Err(format!(
                "{listen} is open to others: give at least one --user NAME:PASSWORD"
            ));
        }
        if is_demo {
            users.push(("demo".into(), "demo".into()));
        }
        Ok(Options { listen, data, users, files, max_per_owner, is_demo })
    }

    pub fn print_welcome(&self, address: SocketAddr) {
        let name = &self.users[0].0;
        println!("cloud is at http://{address}/");
        println!("its JSON API is described at http://{address}/api/openapi.json");
        let sign_in = if self.is_demo {
            println!("no --user was given, so there is a demo account: user demo, password demo");
            "demo:demo"
        } else {
            name
        };
        println!();
        println!("Create an app password on that page, or here:");
        println!(
            "  curl -u {sign_in} http://{address}/api/tokens -d '{{\"label\":\"My laptop\"}}'"
        );
        println!("and use it with any WebDAV client:");
        println!("  TOKEN=cloud_...");
        println!("  curl -u {name}:$TOKEN -T README.md http://{address}/dav/");
        println!(
            "  rclone lsf \":webdav,url='http://{address}/dav/',vendor=other,user={name},pass=$(rclone obscure $TOKEN):\""
        );
    }
}

fn parse_user(value: &str) -> Result<(String, String), String> {
    let (name, password) = value.split_once(':').ok_or("--user needs NAME:PASSWORD")?;
    // A name is also a folder's, and stands before the colon of HTTP Basic.
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c));
    if name.is_empty() || name.starts_with('.') || !is_plain {
        return Err("--user: a name has letters, digits, and - _ . @ (no dot first)".into());
    }
    if password.is_empty() {
        return Err(format!("--user {name}: the password is empty"));
    }
    Ok((name.into(), password.into()))
}
