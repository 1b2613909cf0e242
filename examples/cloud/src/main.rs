//! A small file cloud. Its users sign in on a page, create app passwords, and use them with any
//! WebDAV client.
//!
//! `cargo run -p cloud -- --data cloud-data`
//!
//! Modules:
//! - `options`: the command line.
//! - `accounts`: the users.
//! - `scope`, `door`: what app passwords may do, and who sends a request.
//! - `files`, `cors`: files, calendars and contacts by WebDAV.
//! - `nextcloud`, `login_flow`: what Nextcloud's clients need beside WebDAV.
//! - `page`, `html`, `session`: the settings page, by the main password.
//! - `api`, `change`, `end`: app passwords by JSON, by the main password.
//! - `request`, `problem`: requests and errors of that API.
//!
//! `policy.toml` says what is allowed; `shared::policy_file` reads it, for the operator's tool in
//! `../admin`, too. `openapi.json` describes the JSON API; the cloud serves it at
//! `/api/openapi.json`.

mod accounts;
mod api;
mod change;
mod cors;
mod door;
mod end;
mod files;
mod html;
mod login_flow;
mod nextcloud;
mod options;
mod page;
mod problem;
mod request;
mod scope;
mod session;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use app_tokens::store::DynStore;
use app_tokens::{KeyRing, Policy, TokenAuthority};
use axum::{Router, middleware};
use shared::policy_file::PolicyFile;
use shared::store_choice::StoreChoice;
use tokio::net::TcpListener;

use accounts::Accounts;
use door::Door;
use files::Dav;
use login_flow::LoginFlow;
use options::Options;
use scope::Scope;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The state that all parts share.
#[derive(Clone)]
struct Cloud {
    tokens: TokenAuthority<DynStore>,
    accounts: Accounts,
    login_flow: LoginFlow,
}

#[tokio::main]
async fn main() -> ExitCode {
    // An argument that is not UTF-8 is not repeated: it may be a password.
    let arguments = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    let arguments: Result<Vec<String>, _> = arguments.collect();
    let parsed = arguments.map_err(|_| "an argument is not UTF-8; write it in UTF-8".to_owned());
    let options = match parsed.and_then(|arguments| Options::parse(arguments.into_iter())) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloud: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    make_folder(&options.data)?;
    let under_data = || StoreChoice::Sqlite(options.data.join("tokens.db"));
    let store = options.store.clone().unwrap_or_else(under_data).open().await?;
    let ring = KeyRing::load_or_create(options.data.join("tokens.key"))?;
    let policy = policy(&options)?;
    let prefix = policy.prefix();
    let tokens = TokenAuthority::new(store, ring, policy);
    let accounts = Accounts::new(&options.users);
    let login_flow = LoginFlow::default();
    let cloud = Cloud { tokens: tokens.clone(), accounts, login_flow };

    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("can't listen at {}: {error}", options.listen))?;
    let address = listener.local_addr()?;
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let folder = options.files.clone().unwrap_or_else(|| options.data.join("files"));
    make_folder(&folder)?;
    let door = Door::new(&tokens, &cloud.accounts, options.accept_passwords);
    let dav = Dav::new(door, folder, &public_url);
    let app = Router::new()
        .merge(files::routes(&dav))
        .merge(nextcloud::routes(&dav))
        .layer(middleware::from_fn_with_state(options.cors.clone(), cors::allow))
        .merge(login_flow::routes(&cloud, &public_url))
        .merge(api::routes(&cloud))
        .merge(page::routes(&cloud)?)
        .into_make_service_with_connect_info::<SocketAddr>();
    options.print_welcome(address, prefix.as_str());

    let upkeep = tokens.upkeep().spawn();
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        () = told_to_stop() => {}
    }
    upkeep.stop().await?;
    Ok(())
}

/// Reads the policy from the file, or takes the one that is built in.
fn policy(options: &Options) -> Result<Policy, Error> {
    let PolicyFile { policy, .. } = match &options.policy {
        Some(path) => PolicyFile::read(path)?,
        None => PolicyFile::parse(include_str!("../policy.toml"))?,
    };
    // This program defines what scopes mean, and the operator's tool must know the same ones.
    if policy != policy.clone().with_scopes(&Scope::ALL)? {
        return Err("the policy file must have the [scopes] of examples/cloud/policy.toml".into());
    }
    Ok(match options.max_per_owner {
        Some(max) => policy.with_max_per_owner(max)?,
        None => policy,
    })
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.exists() && !folder.is_dir() {
        return Err(format!("{} is not a folder; choose another path", folder.display()).into());
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("the folder {} can't be made: {error}", folder.display()).into())
}

/// Waits for Ctrl-C, or for a service manager's SIGTERM.
async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _stopped_either_way = tokio::signal::ctrl_c().await;
}
