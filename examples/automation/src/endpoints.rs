//! What tokens are for: a part of a management API, and the operator's own endpoints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get, put};
use axum::{Extension, Router};
use serde_json::{Value, json};
use shared::token_api::{Problem, answer};

use crate::Server;
use crate::apptoken::identity;
use crate::role::Role;
use crate::who::{Who, guard};

/// The variables that scripts share. They last as long as the process.
#[derive(Clone, Default)]
pub struct Variables(Arc<Mutex<BTreeMap<String, String>>>);

/// The most variables that there may be.
const MOST: usize = 1000;
/// The longest name and value of one, in bytes. An answer has all of them.
const LONGEST: (usize, usize) = (100, 4096);

/// # Errors
/// A line for the operator if there is no such role. Nobody could have it.
pub fn routes(server: &Server, own: &BTreeMap<String, String>) -> Result<Router, String> {
    let needs = |role, route| guard(server, Some(role), route);
    let mut routes = Router::new()
        .route("/api/v1/variable", needs(Role::Reader, get(list)))
        .route("/api/v1/variable/{name}", needs(Role::Operator, put(write).delete(remove)))
        .route("/api/v1/identity", needs(Role::Administrator, get(identities)));
    for (path, role) in own {
        let role = Role::named(role, &server.roles).ok_or_else(|| {
            format!("there is no role {role:?} in the policy file; add it to [scopes]")
        })?;
        routes = routes.route(path, needs(role, any(run)).layer(Extension(path.clone())));
    }
    Ok(routes.with_state(server.clone()))
}

async fn list(State(server): State<Server>) -> Response {
    let variables = server.variables.0.lock().unwrap_or_else(PoisonError::into_inner);
    let listed = variables.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    answer(StatusCode::OK, listed.collect::<Value>())
}

async fn write(
    State(server): State<Server>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let text = body.ok().and_then(|body| String::from_utf8(body.into()).ok());
    let text = text.filter(|text| name.len() <= LONGEST.0 && text.len() <= LONGEST.1);
    let text = text.ok_or_else(|| {
        Problem::bad("send the value as UTF-8 text of at most 4 KiB, and a name of 100 bytes")
    })?;
    let mut variables = server.variables.0.lock().unwrap_or_else(PoisonError::into_inner);
    if variables.len() >= MOST && !variables.contains_key(&name) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "there are too many variables; delete some",
        ));
    }
    variables.insert(name, text);
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let mut variables = server.variables.0.lock().unwrap_or_else(PoisonError::into_inner);
    variables
        .remove(&name)
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no variable with this name"))
}

async fn identities(State(server): State<Server>) -> Response {
    let all = server.accounts.all();
    let listed = all.iter().map(|account| {
        let mut listed = identity(Some(account), &account.owner);
        listed["role"] = account.roles.join(", ").into();
        listed
    });
    answer(StatusCode::OK, listed.collect::<Value>())
}

/// Runs an endpoint of the operator's own. This one only says who called.
async fn run(Extension(who): Extension<Who>, Extension(path): Extension<String>) -> Response {
    let caller = identity(Some(&who.account), who.owner());
    answer(StatusCode::OK, json!({ "endpoint": path, "identity": caller }))
}
