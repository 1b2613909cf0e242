//! What the server brings to the settings page: its words, its roles, and who grants.
//!
//! Administrators see the tokens of all identities at `/admin/tokens`, and grant there. Others see
//! their own; their programs grant by `/api/v1/apptoken/grant`.

use std::sync::Arc;

use app_tokens::access::ScopeName as _;
use app_tokens::error::InvalidText;
use app_tokens::{Access, Policy};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use shared::page::access::Choices;
use shared::page::admin::{self, AdminView};
use shared::page::wording::{Acts, Column, FormPlace, Recipe, Wording};
use shared::page::{Page, Setup, SignedIn};

use crate::role::Role;

pub const WORDING: Wording = Wording {
    in_use: "Your App Tokens",
    empty: "Scripts and other programs sign in with them, in place of your password.",
    columns: &[
        Column::Access("Role"),
        Column::Created,
        Column::LastUsed("Last used"),
        Column::Ends,
    ],
    form: FormPlace::OwnPage,
    acts: Acts { change: false, replace: true, select: true, others: true },
    lists_sessions: true,
    ..Wording::POWERSHELL_UNIVERSAL
};

/// Makes the page's setup. Clients connect below `url`.
pub fn setup(policy: &Policy, roles: &[Role], url: &str) -> Result<Setup, InvalidText> {
    let mut roles: Vec<Role> = roles.to_vec();
    roles.sort();
    let role = |role: &Role| {
        Ok(admin::Role { name: role.name().into(), access: Access::scopes([role.name()])? })
    };
    let lines = [
        (
            "PowerShell",
            "$Token = Read-Host -AsSecureString; Invoke-RestMethod {url}variable \
             -Authentication Bearer -Token $Token",
        ),
        ("curl", "curl --user :$(systemd-ask-password) {url}variable"),
    ];
    Ok(Setup {
        wording: WORDING,
        // No choices: only an administrator's view grants.
        access: Arc::new(Choices {
            policy: policy.clone(),
            legend: "Role",
            list: Vec::new(),
            first: 0,
            only_in: None,
        }),
        server: format!("{url}/api/v1/"),
        recipes: lines
            .map(|(program, line)| Recipe { program, hint: "It asks for the App Token.", line })
            .into(),
        admin: Some(AdminView {
            role: Role::Administrator.name(),
            roles: roles.iter().map(role).collect::<Result<_, InvalidText>>()?,
            may_have: Role::may_have,
        }),
    })
}

/// Returns the routes of the page. Only an administrator's view grants.
pub fn routes(page: &Page) -> Router {
    let grant = Router::new().route("/grant", get(grant)).with_state(page.clone());
    page.routes().layer(middleware::from_fn(lead_to_grant)).merge(page.guard(grant))
}

/// The page's own form asks for no role. So it is not used here.
async fn lead_to_grant(request: Request, next: Next) -> Response {
    match (request.method(), request.uri().path()) {
        (_, "/new") | (&Method::POST, "/tokens") => Redirect::to("/grant").into_response(),
        _ => next.run(request).await,
    }
}

async fn grant(State(page): State<Page>, who: SignedIn) -> Response {
    if who.account.has_role(Role::Administrator.name()) {
        return Redirect::to("/admin/tokens#grant").into_response();
    }
    let heading = "An administrator grants App Tokens";
    let what_to_do = "Ask one, or let your program sign in by /api/v1/signin and grant itself one.";
    page.problem(StatusCode::FORBIDDEN, heading, what_to_do, Some(&who))
}
