//! A small automation server. Its identities have roles, and give App Tokens to scripts and other
//! programs: for the management API, and for the server's own endpoints.
//!
//! `cargo run -p automation -- --data automation-data`
//!
//! Modules:
//! - `options`: the command line.
//! - `role`: the roles, as scopes.
//! - `sign_in`, `who`: sessions for programs, and who calls.
//! - `apptoken`, `grant`: App Tokens by JSON.
//! - `oauth`: introspection and revocation as RFC 7662 and RFC 7009 define them.
//! - `settings`: what the settings page says and shows here.
//! - `endpoints`: what tokens are for.
//!
//! `policy.toml` says what is allowed, and names the roles.

mod apptoken;
mod endpoints;
mod grant;
mod oauth;
mod options;
mod role;
mod settings;
mod sign_in;
mod who;

use std::process::ExitCode;
use std::sync::Arc;

use app_tokens::TokenAuthority;
use app_tokens::event::{Event, Observer as _};
use app_tokens::store::DynStore;
use app_tokens::web::Login;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use shared::accounts::Accounts;
use shared::audit::{self, TracingObserver};
use shared::front::Front;
use shared::gate;
use shared::page::Page;
use shared::policy_file::PolicyFile;
use shared::serve::{self, DRAIN, StopSignal};
use shared::session::Sessions;
use shared::token_api;
use shared::trigger::Trigger;

use endpoints::Variables;
use options::Options;
use role::Role;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The state that all parts share.
#[derive(Clone)]
struct Server {
    tokens: TokenAuthority<DynStore>,
    accounts: Accounts,
    /// The sessions of programs. A browser has another cookie, which is good for pages only.
    sessions: Sessions,
    front: Front,
    /// Every role that there is.
    roles: Arc<[Role]>,
    variables: Variables,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse(std::env::args_os().skip(1));
    serve::host("automation", options, &options::usage(), run).await
}

async fn run(options: Options) -> Result<(), Error> {
    let stop = StopSignal::listen()?;
    let common = &options.common;
    audit::open(common.audit.as_deref())?;
    let (store, ring, file) = serve::open(common, include_str!("../policy.toml")).await?;
    let PolicyFile { policy, scopes } = file;
    let roles = Role::all(&policy, &scopes)?;

    let (trigger, commands) = Trigger::start(options.on_revoked.clone(), policy.usage_interval());
    let observer = move |event: &Event<'_>| {
        TracingObserver.observe(event);
        trigger.observe(event);
    };
    let tokens = TokenAuthority::builder(store, ring, policy).observer(observer).build();
    serve::check(&tokens, &common.import).await?;

    let (listener, address, url) = serve::listen(common).await?;
    // Two cookies: what a program may do by GET must not be done in a browser.
    let sessions = |of: &str| {
        let sessions = Sessions::new(of, address.port(), common.front.is_secure());
        sessions.map(|sessions| sessions.fresh_for(common.ask_again_after))
    };
    let server = Server {
        tokens: tokens.clone(),
        accounts: common.accounts_with(&options::DEMO)?,
        sessions: sessions("automation API")?,
        front: common.front.clone(),
        roles: roles.into(),
        variables: Variables::default(),
    };
    let page = Page::new(
        tokens.clone(),
        server.accounts.clone(),
        sessions("automation")?,
        server.front.clone(),
        settings::setup(tokens.policy(), &server.roles, &url)?,
    )?;
    let app = routes(&server, &options)?.merge(settings::routes(&page));
    options.print_welcome(&url);

    let upkeep = tokens.upkeep().spawn();
    audit::note("automation started");
    serve::serve(listener, app, stop, DRAIN).await?;
    upkeep.stop().await?;
    audit::note("automation stopped");
    // The observer goes with the last authority, and the trigger with it.
    drop((tokens, server, page, upkeep));
    commands.end().await;
    Ok(())
}

fn routes(server: &Server, options: &Options) -> Result<Router, String> {
    let login = Login::new(server.tokens.clone(), server.accounts.clone());
    let login = options.common.import.in_login(login).with_noun(settings::WORDING.one);
    let login = login.without_challenges_for_scripts();
    // A request without a token may have a session.
    let layer = gate::token_layer(login, &server.front).optional();
    Ok(Router::new()
        .merge(apptoken::routes(server))
        .merge(oauth::routes(server))
        .merge(endpoints::routes(server, &options.endpoints)?)
        .layer(layer)
        .merge(sign_in::routes(server))
        .route("/api/{*path}", any(token_api::nothing))
        .method_not_allowed_fallback(token_api::wrong_method)
        .layer(DefaultBodyLimit::max(64 * 1024)))
}
