//! The command line, and the text printed at the start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use app_tokens::Owner;
use axum::http::{HeaderValue, Uri};

use shared::store_choice::StoreChoice;

pub const USAGE: &str = "\
usage: cloud --data DIR [--listen ADDR:PORT] [--user NAME:PASSWORD]... [--files DIR]
             [--store sqlite:PATH|postgres:URL] [--policy FILE | --max-per-owner N]
             [--public-url URL] [--cors ORIGIN] [--accept-passwords]

  --data DIR            where tokens and the key file are kept; made if it is missing
  --listen ADDR:PORT    where to listen; 127.0.0.1:8080 by default, port 0 takes a free one
  --user NAME:PASSWORD  an account; may be repeated; without one there is a demo account
  --files DIR           where files are kept, a folder for each account; DATA/files by default
  --store STORE         where tokens are kept instead; or set APP_TOKENS_STORE,
                        which may hold a password
  --policy FILE         what is allowed, as in examples/cloud/policy.toml, which is the default
  --max-per-owner N     how many live app passwords an account may have;
                        any number by default, or the number in the policy file
  --public-url URL      where devices reach this server, such as https://cloud.example
  --cors ORIGIN         an origin whose pages may call WebDAV with an app password
  --accept-passwords    for months of transition: WebDAV also takes the main password, and
                        the log says who still uses it";

pub struct Options {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub users: Vec<(String, String)>,
    pub files: Option<PathBuf>,
    pub store: Option<StoreChoice>,
    pub policy: Option<PathBuf>,
    pub max_per_owner: Option<u32>,
    pub public_url: Option<String>,
    pub cors: Option<HeaderValue>,
    pub accept_passwords: bool,
    is_demo: bool,
}

impl Options {
    /// Parses the command line. `None` if it asks for help.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (mut data, mut files, mut users) = (None, None, Vec::new());
        let (mut store, mut policy, mut max_per_owner) = (None, None, None);
        let (mut public_url, mut cors, mut accept_passwords) = (None, None, false);
        while let Some(option) = arguments.next() {
            let (option, joined) = match option.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (option, None),
            };
            let value =
                || joined.or_else(|| arguments.next()).ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--help" | "-h" => return Ok(None),
                "--listen" => {
                    let value = value()?;
                    listen =
                        value.parse().map_err(|_| format!("--listen {value} is not ADDR:PORT"))?;
                }
                "--data" => data = Some(PathBuf::from(value()?)),
                "--store" => store = Some(value()?),
                "--policy" => policy = Some(PathBuf::from(value()?)),
                "--public-url" => public_url = Some(parse_url(&value()?)?),
                "--cors" => cors = Some(parse_origin(&value()?)?),
                "--accept-passwords" => accept_passwords = true,
                "--files" => files = Some(PathBuf::from(value()?)),
                "--user" => {
                    let user = parse_user(&value()?)?;
                    if users.iter().any(|(name, _)| *name == user.0) {
                        return Err(format!("--user {} is given twice; give it once", user.0));
                    }
                    users.push(user);
                }
                "--max-per-owner" => {
                    let value = value()?;
                    let number = value.parse().ok().filter(|number| *number > 0);
                    max_per_owner =
                        Some(number.ok_or(format!(
                            "--max-per-owner {value} is not a number of 1 or more"
                        ))?);
                }
                name if name.starts_with("--") => {
                    return Err(format!("there is no option {option}"));
                }
                // Not repeated: it may be a password.
                _ => return Err("an argument stands without its option; see the usage".into()),
            }
        }
        let data =
            data.ok_or("--data DIR is missing; name a folder for the tokens and the key file")?;
        let store = StoreChoice::told(store.as_deref())?;
        if policy.is_some() && max_per_owner.is_some() {
            return Err("--max-per-owner can't be given with --policy; set it in that file".into());
        }
        let served = |kept: &Path| {
            let overlap = |files: &PathBuf| kept.starts_with(files) || files.starts_with(kept);
            files.as_ref().is_some_and(overlap)
        };
        if served(&data) {
            return Err(
                "--files and --data overlap, so the key file would be served; separate them".into(),
            );
        }
        if let Some(StoreChoice::Sqlite(path)) = &store
            && served(path)
        {
            return Err(
                "--files and --store overlap, so the rows would be served; separate them".into()
            );
        }
        let is_demo = users.is_empty();
        if is_demo && !listen.ip().is_loopback() {
            return Err(format!(
                "other machines can reach {listen}; give at least one --user NAME:PASSWORD"
            ));
        }
        if is_demo {
            users.push(("demo".into(), "demo".into()));
        }
        Ok(Some(Options {
            listen,
            data,
            users,
            files,
            store,
            policy,
            max_per_owner,
            public_url,
            cors,
            accept_passwords,
            is_demo,
        }))
    }

    pub fn print_welcome(&self, address: SocketAddr, prefix: &str) {
        let name = &self.users[0].0;
        if !address.ip().is_loopback() {
            println!(
                "other machines can reach this without TLS; put a proxy with TLS in front of it"
            );
        }
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
        println!("  TOKEN={prefix}_...");
        println!("  curl -u {name}:$TOKEN -T README.md http://{address}/dav/");
        println!(
            "  rclone lsf \":webdav,url='http://{address}/dav/',vendor=other,\
             user={name},pass=$(rclone obscure $TOKEN):\""
        );
    }
}

/// Parses this server's own address. Paths are appended to it.
fn parse_url(value: &str) -> Result<String, String> {
    let url = value.trim_end_matches('/');
    let parsed = url.parse::<Uri>().ok();
    let is_whole = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
    };
    parsed.filter(is_whole).ok_or("--public-url needs a URL such as https://cloud.example")?;
    Ok(url.to_owned())
}

/// Parses an origin, as browsers send it.
fn parse_origin(value: &str) -> Result<HeaderValue, String> {
    let reason = "--cors needs an origin such as https://notes.example, without a path";
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '@']));
    let origin = HeaderValue::from_str(value).ok().filter(|_| is_origin);
    origin.ok_or_else(|| reason.to_owned())
}

fn parse_user(value: &str) -> Result<(String, String), String> {
    let (name, password) = value.split_once(':').ok_or("--user needs NAME:PASSWORD")?;
    // A name is also the name of a folder, and stands before the colon of HTTP Basic.
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c));
    if name.is_empty() || name.starts_with('.') || !is_plain {
        return Err("--user: use letters, digits and - _ . @ in the name, no dot first".into());
    }
    Owner::new(name).map_err(|problem| format!("--user: {problem}"))?;
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
