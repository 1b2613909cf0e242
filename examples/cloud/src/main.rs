//! A small file cloud. Its users sign in on a page, create app passwords, and use them with any
//! WebDAV client.
//!
//! `cargo run -p cloud -- --data cloud-data`
//!
//! Modules:
//! - `options`: the command line. Most of it is shared with the other hosts.
//! - `settings`: what the cloud brings to the settings page, which is shared, too.
//! - `scope`, `door`: what app passwords may do, and who sends a request.
//! - `files`, `cors`: files, calendars and contacts by WebDAV.
//! - `nextcloud`, `login_flow`: what Nextcloud's clients need beside WebDAV.
//!
//! The settings page and the JSON API for app passwords are `shared::page` and `shared::token_api`.
//! `policy.toml` says what is allowed; `shared::policy_file` reads it, for the operator's tool in
//! `../admin`, too. `openapi.json` describes the JSON API; the cloud serves it at
//! `/api/openapi.json`.

mod cors;
mod door;
mod files;
mod login_flow;
mod nextcloud;
mod options;
mod scope;
mod settings;

use std::process::ExitCode;

use app_tokens::store::DynStore;
use app_tokens::web::Login;
use app_tokens::{Policy, TokenAuthority};
use axum::{Router, middleware};
use shared::accounts::Accounts;
use shared::around::as_data;
use shared::audit::{self, TracingObserver};
use shared::front::Front;
use shared::login_flow::LoginFlow;
use shared::page::Page;
use shared::policy_file::check_scopes;
use shared::serve::{self, StopSignal};
use shared::session::Sessions;
use shared::token_api::TokenApi;

use files::Dav;
use options::Options;
use scope::Scope;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The state that all parts share.
#[derive(Clone)]
struct Cloud {
    tokens: TokenAuthority<DynStore>,
    accounts: Accounts,
    front: Front,
    login_flow: LoginFlow,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse(std::env::args_os().skip(1));
    serve::host("cloud", options, &options::usage(), run).await
}

async fn run(options: Options) -> Result<(), Error> {
    let stop = StopSignal::listen()?;
    let Options { common, files, .. } = &options;
    audit::open(common.audit.as_deref())?;
    let (store, ring, file) = serve::open(common, include_str!("../policy.toml")).await?;
    let policy = policy(&options, file.policy)?;
    let prefix = policy.prefix();
    let tokens = TokenAuthority::builder(store, ring, policy).observer(TracingObserver).build();
    serve::check(&tokens, &common.import).await?;
    let (accounts, front) = (common.accounts()?, common.front.clone());
    let name = accounts.all().first().map_or("NAME".to_owned(), |account| {
        accounts.user_name(account).unwrap_or(&account.name).to_owned()
    });
    let cloud = Cloud {
        tokens: tokens.clone(),
        accounts: accounts.clone(),
        front: front.clone(),
        login_flow: LoginFlow::default(),
    };

    let (listener, address, url) = serve::listen(common).await?;
    let product = options.wording.product;
    let sessions = Sessions::new(product, address.port(), front.is_secure())?
        .fresh_for(common.ask_again_after);
    let api = TokenApi {
        tokens: tokens.clone(),
        accounts: accounts.clone(),
        front: front.clone(),
        document: include_str!("../openapi.json"),
    };
    let page = Page::new(
        tokens.clone(),
        accounts,
        sessions,
        front,
        settings::setup(options.wording.clone(), &url, tokens.policy())?,
    )?;
    let folder = files.clone().unwrap_or_else(|| common.data.join("files"));
    serve::make_folder(&folder)?;
    let dav = Dav::new(&cloud, folder, &url);
    let login = Login::new(tokens.clone(), cloud.accounts.clone());
    let login = common.import.in_login(login).with_noun(options.wording.one);
    let login = login.without_challenges_for_scripts();
    let challenges = login.challenge_layer();
    let app = Router::new()
        .merge(files::routes(&dav))
        .merge(nextcloud::routes(&dav))
        .layer(door::layer(&cloud, login, options.accept_passwords))
        .merge(nextcloud::status_route())
        .layer(middleware::from_fn(as_data))
        .layer(middleware::from_fn_with_state(options.cors.clone(), cors::allow))
        .merge(login_flow::routes(&cloud, &page, &url))
        .merge(api.routes().layer(challenges))
        .merge(page.routes());
    options.print_welcome(address, &url, prefix.as_str(), &name);
    serve::with_upkeep("cloud", &tokens, listener, app, stop).await
}

/// Checks the policy's scopes, and sets what an option says.
fn policy(options: &Options, policy: Policy) -> Result<Policy, Error> {
    check_scopes(&policy, &Scope::ALL, "examples/cloud/policy.toml")?;
    Ok(match options.max_per_owner {
        Some(max) => policy.with_max_per_owner(max)?,
        None => policy,
    })
}
