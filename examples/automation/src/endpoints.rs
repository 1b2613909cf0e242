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
use crate::options::Endpoint;
use crate::role::Role;
use crate::who::{Who, guard};

/// The variables that scripts share. They last as long as the process.
#[derive(Clone, Default)]
pub struct Variables(Arc<Mutex<BTreeMap<String, String>>>);

/// The most variables that there may be, of 64 KiB each.
const MOST: usize = 1000;
/// The longest name of one, in bytes.
const LONGEST_NAME: usize = 100;

pub fn routes(server: &Server, own: &[Endpoint]) -> Router {
    let needs = |role, route| guard(server, Some(role), route);
    let mut routes = Router::new()
        .route("/api/v1/variable", needs(Role::Reader, get(list)))
        .route("/api/v1/variable/{name}", needs(Role::Operator, put(write).delete(remove)))
        .route("/api/v1/identity", needs(Role::Administrator, get(identities)));
    for endpoint in own {
        // Checked when the options were read.
        let Some(role) = Role::named(&endpoint.role, &server.roles) else { continue };
        let route = needs(role, any(run)).layer(Extension(endpoint.path.clone()));
        routes = routes.route(&endpoint.path, route);
    }
    routes.with_state(server.clone())
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
    let text = text.ok_or_else(|| Problem::bad("send the value as UTF-8 text, at most 64 KiB"))?;
    if name.len() > LONGEST_NAME {
        return Err(Problem::bad("the name is too long; take at most 100 bytes"));
    }
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
