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

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use app_tokens::store::DynStore;
use app_tokens::web::{Login, is_from_script};
use app_tokens::{Policy, TokenAuthority};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use forge_services::drain::drain;
use forge_services::git::Places;
use forge_services::repos::Repos;
use shared::accounts::Accounts;
use shared::audit::{self, TracingObserver};
use shared::front::Front;
use shared::page::Page;
use shared::serve::{self, DRAIN, StopSignal};
use shared::session::Sessions;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

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
    packages: PathBuf,
    packages_index: Arc<Mutex<()>>,
    /// Where people reach the forge, without a slash at the end.
    url: Arc<str>,
    git_places: Places,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::usage());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::usage());
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forge: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let stop = StopSignal::listen()?;
    let data = &options.common.data;
    audit::open(options.common.audit.as_deref())?;
    let (store, ring, file) = serve::open(&options.common, include_str!("../policy.toml")).await?;
    let policy = policy(file.policy)?;
    let tokens = TokenAuthority::builder(store, ring, policy).observer(TracingObserver).build();
    serve::check(&tokens).await?;
    let accounts = options.common.accounts()?;
    let listener = TcpListener::bind(options.common.listen)
        .await
        .map_err(|error| format!("can't listen at {}: {error}", options.common.listen))?;
    let address = listener.local_addr()?;
    // Never from the `Host` header, which a client chooses.
    let front = &options.common.front;
    let url =
        front.public.as_ref().map_or(format!("http://{address}"), |url| url.origin().to_owned());
    let forge = Forge {
        login: Login::new(tokens.clone(), accounts.clone()).accept(enter::accepted),
        tokens,
        accounts,
        front: front.clone().into(),
        repos: Repos::open(data).await?,
        packages: data.join("packages"),
        packages_index: Arc::default(),
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
        sessions.clone(),
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
        .layer(from_fn(as_data))
        .layer(from_fn(drain))
        .with_state(forge.clone())
        .merge(settings::routes(&page, &forge, sessions));
    let upkeep = forge.tokens.upkeep().spawn();
    audit::note("forge started");
    serve::serve(listener, app, stop, DRAIN).await?;
    upkeep.stop().await?;
    audit::note("forge stopped");
    Ok(())
}

/// Checks that the forge can work by this policy.
fn policy(policy: Policy) -> Result<Policy, Error> {
    // This program defines what scopes mean, and the operator's tool must know the same ones.
    if policy != policy.clone().with_scopes(&Scope::all())? {
        return Err("the policy file must have the [scopes] of examples/forge/policy.toml".into());
    }
    if !policy.allows_never_expiring() {
        return Err(
            "the forge's tokens have no end; set never_expiring = true in the policy".into()
        );
    }
    Ok(policy)
}

/// Marks an answer as data. What users have uploaded never runs in a browser that is signed in,
/// and a browser asks for no password in the name of a page's script.
async fn as_data(request: Request, next: Next) -> Response {
    let headers = request.headers().iter();
    let is_from_script =
        is_from_script(headers.map(|(name, value)| (name.as_str(), value.as_bytes())));
    let mut response = next.run(request).await;
    if is_from_script {
        response.headers_mut().remove(WWW_AUTHENTICATE);
    }
    for (name, value) in [
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
