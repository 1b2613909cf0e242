//! A small forge. Its users sign in on a page, make access tokens, and use them with git, the API
//! and package clients.
//!
//! `cargo run -p forge -- --data forge-data`
//!
//! Modules, in the order of a request:
//! - `options`: the command line.
//! - `enter`: who sent a request: a token, nobody, or a person with the main password.
//! - `scopes`: what a token may do, in Forgejo's words.
//! - `allow`: who may do what with a repository.
//! - `tokens`: access tokens by JSON, as Forgejo documents it.
//! - `api`: the rest of the API: user and repositories.
//! - `host`: who may use git, releases and packages, which `forge-services` serves.
//! - `settings`: what the forge brings to the settings page, which is shared with other hosts.
//!
//! `policy.toml` says what is allowed; the operator's tool in `../admin` obeys it, too.

mod allow;
mod api;
mod enter;
mod host;
mod options;
mod scopes;
mod settings;
mod tokens;

use std::process::ExitCode;
use std::sync::Arc;

use app_tokens::TokenAuthority;
use app_tokens::store::DynStore;
use app_tokens::web::Login;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use forge_services::git::Places;
use forge_services::packages::Packages;
use forge_services::repos::Repos;
use shared::accounts::Accounts;
use shared::around::as_data;
use shared::audit::{self, TracingObserver};
use shared::front::Front;
use shared::page::Page;
use shared::policy_file::check_scopes;
use shared::serve::{self, StopSignal};
use shared::session::Sessions;

use options::Options;
use scopes::Scope;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The state that all parts share.
#[derive(Clone)]
struct Forge {
    tokens: TokenAuthority<DynStore>,
    login: Login<DynStore, Accounts>,
    accounts: Accounts,
    front: Arc<Front>,
    repos: Repos,
    packages: Packages,
    /// Where people reach the forge, without a slash at the end.
    url: Arc<str>,
    git_places: Places,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse(std::env::args_os().skip(1));
    serve::host("forge", options, &options::usage(), run).await
}

async fn run(options: Options) -> Result<(), Error> {
    let stop = StopSignal::listen()?;
    let data = &options.common.data;
    audit::open(options.common.audit.as_deref())?;
    let (store, ring, file) = serve::open(&options.common, include_str!("../policy.toml")).await?;
    let policy = file.policy;
    check_scopes(&policy, &Scope::all(), "examples/forge/policy.toml")?;
    if !policy.allows_never_expiring() {
        return Err(
            "the forge's tokens have no end; set never_expiring = true in the policy".into()
        );
    }
    let tokens = TokenAuthority::builder(store, ring, policy).observer(TracingObserver).build();
    serve::check(&tokens, &options.common.import).await?;
    let accounts = options.common.accounts()?;
    let (listener, address, url) = serve::listen(&options.common).await?;
    let front = &options.common.front;
    let forge = Forge {
        login: options
            .common
            .import
            .in_login(Login::new(tokens.clone(), accounts.clone()))
            .accept(enter::accepted)
            .with_noun("access token")
            .without_challenges_for_scripts(),
        tokens,
        accounts,
        front: front.clone().into(),
        repos: Repos::open(data).await?,
        packages: Packages::new(data.join("packages")),
        url: url.into(),
        git_places: Places::default(),
    };
    if options.common.is_demo() {
        options::make_demo(&forge).await?;
    }
    let sessions = Sessions::new(options.wording.product, address.port(), front.is_secure())?
        .fresh_for(options.common.ask_again_after);
    let page = Page::new(
        forge.tokens.clone(),
        forge.accounts.clone(),
        sessions,
        front.clone(),
        settings::setup(options.wording.clone(), &forge),
    )?;
    options.print_welcome(&forge.url);

    let app = Router::new()
        .merge(tokens::routes())
        .merge(api::routes())
        .merge(forge_services::releases::routes())
        .layer(DefaultBodyLimit::max(64 * 1024))
        .merge(forge_services::packages::routes())
        .merge(forge_services::git::routes())
        .layer(forge.login.challenge_layer())
        .layer(from_fn(as_data))
        .with_state(forge.clone())
        .merge(settings::routes(&page));
    serve::with_upkeep("forge", &forge.tokens, listener, app, stop).await
}
