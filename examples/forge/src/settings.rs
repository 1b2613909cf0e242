//! What the forge brings to the settings page: Forgejo's questions about a new token, and lines for
//! its clients.

use std::sync::Arc;

use app_tokens::access::{Resource, Selection};
use app_tokens::{Access, Owner};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Redirect;
use axum::routing::get;
use maud::{Markup, html};
use shared::gate;
use shared::page::access::{AccessForm, Everything};
use shared::page::form::{Fields, Problems};
use shared::page::layout::error;
use shared::page::wording::{Column, Recipe, Wording};
use shared::page::{Page, Setup};
use shared::session::Sessions;

use crate::Forge;
use crate::allow::{limit_to, limited_to};
use crate::scopes::{
    ACTIVITYPUB, Category, ISSUE, MISC, NOTIFICATION, ORGANIZATION, PACKAGE, REPOSITORY, USER,
    is_public_only, parse, words,
};

/// Makes the page's setup.
pub fn setup(wording: Wording, forge: &Forge) -> Setup {
    // A page that doesn't show what a token may do doesn't ask for it, either.
    let shows_access = wording.columns.iter().any(|column| matches!(column, Column::Access(_)));
    let access: Arc<dyn AccessForm> =
        if shows_access { Arc::new(Questions(forge.clone())) } else { Arc::new(Everything) };
    let recipe = |program, hint, line| Recipe { program, hint, line };
    let recipes = vec![
        recipe(
            "git",
            "It asks for the user name, and then for a password: paste the token.",
            "git clone {url}{user}/REPOSITORY.git",
        ),
        recipe("curl", "It asks for the token.", "curl --user {user} {url}api/v1/user"),
        recipe(
            "Maven",
            "In settings.xml, a server with the user name, and the token as password.",
            "mvn deploy -DaltDeploymentRepository=forge::{url}api/packages/{user}/maven",
        ),
    ];
    Setup { wording, access, server: format!("{}/", forge.url), recipes, admin: None }
}

/// Returns the page's routes, and the addresses that Forgejo's users know.
pub fn routes(page: &Page, forge: &Forge, sessions: Sessions) -> Router {
    let front = forge.front.clone();
    let noted = move |request: Request, next: Next| {
        let (sessions, front) = (sessions.clone(), front.clone());
        async move {
            let visitor = front.visitor(request.headers(), gate::peer(request.extensions()));
            let session = sessions.find(request.headers(), &visitor).await;
            let owner = session.map(|session| session.owner);
            SIGNED_IN.scope(owner, next.run(request)).await
        }
    };
    Router::new()
        .merge(page.routes())
        .layer(middleware::from_fn(noted))
        .route("/user/settings", get(async || Redirect::to("/")))
        .route("/user/settings/applications", get(async || Redirect::to("/")))
}

tokio::task_local! {
    /// The account whose form is read. `AccessForm` is not told it. But a person must not learn
    /// from this form which private repositories others have.
    static SIGNED_IN: Option<Owner>;
}

/// Forgejo's two questions: where, and what.
struct Questions(Forge);

/// Where a token may act. What the form sends, what it says, and a hint.
const PLACES: [(&str, &str, &str); 3] = [
    ("all", "All", "Public and private repositories, and the account."),
    ("public", "Public only", ""),
    ("some", "Only these repositories", "Others can't be read, unless they are public."),
];

/// What the form asks about, the most used first. An administrator's acts are not on this page.
static ASKED: [&Category; 8] =
    [&REPOSITORY, &ISSUE, &PACKAGE, &NOTIFICATION, &ORGANIZATION, &USER, &MISC, &ACTIVITYPUB];

impl AccessForm for Questions {
    fn question(&self, chosen: &Fields, problems: &Problems) -> Markup {
        let place = chosen.get("resources").unwrap_or("some");
        html! {
            fieldset {
                legend #resources tabindex="-1" { "Repository and organization access" }
                @if let Some(problem) = problems.at("resources") {
                    (error("resources-error", problem))
                }
                div.choices {
                    @for (value, words, hint) in PLACES {
                        label.choice {
                            input type="radio" name="resources" value=(value)
                                checked[value == place];
                            span { b { (words) } @if !hint.is_empty() { small { (hint) } } }
                        }
                    }
                    div.more {
                        label.hidden for="repos" { "Repositories, one a line" }
                        textarea #repos name="repos" rows="3" spellcheck="false"
                            aria-describedby="repos-hint"
                            aria-invalid=[problems.at("repos").map(|_| "true")] {
                            (chosen.text("repos"))
                        }
                        p.hint #repos-hint { "One a line, as owner/name." }
                        @if let Some(problem) = problems.at("repos") {
                            (error("repos-error", problem))
                        }
                    }
                }
            }
            fieldset {
                legend #access tabindex="-1" { "Permissions" }
                p.hint { "Write includes read. Choose at least one." }
                @if let Some(problem) = problems.at("access") { (error("access-error", problem)) }
                div.row.tight { @for category in ASKED { (select(category, chosen)) } }
            }
        }
    }

    fn read(&self, fields: &Fields, problems: &mut Problems) -> Option<Access> {
        let names = fields.all("scope").filter(|scope| !scope.is_empty());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        // In the order of the page, as the summary lists them.
        let is_limited = fields.get("resources") == Some("some");
        let limits = is_limited.then(|| self.read_repositories(fields, problems));
        if !PLACES.iter().any(|(value, ..)| fields.get("resources") == Some(value)) {
            let words = "Choose one of these.";
            problems.add("resources", "Where it may act is missing", words);
        }
        if names.is_empty() {
            problems.add("access", "There is no permission", "Choose at least one.");
        }
        if !problems.is_empty() {
            return None;
        }
        if fields.get("resources") == Some("public") {
            names.push("public-only".into());
        }
        let parsed = parse(&names, limits.flatten());
        if parsed.is_err() {
            problems.add("access", "The permissions can't be read", "Choose them again.");
        }
        parsed.ok()
    }

    fn words(&self, access: &Access) -> String {
        let is_public_only = is_public_only(access);
        let scopes = words(access).join(", ");
        match access.granted_resources() {
            Selection::Only(list) if !is_public_only => {
                let name = |limit: &Resource| match limited_to(&self.0.repos, limit) {
                    Some(repo) => format!("{}/{}", self.0.name_of(&repo.owner), repo.name),
                    None => "a deleted repository".into(),
                };
                format!(
                    "{scopes}, only in {}",
                    list.iter().map(name).collect::<Vec<_>>().join(", ")
                )
            }
            _ => scopes,
        }
    }

    fn less(&self, _: &Access) -> Option<Markup> {
        None
    }

    fn read_less(&self, _: &Access, _: &Fields) -> Option<Access> {
        None
    }
}

fn select(category: &'static Category, chosen: &Fields) -> Markup {
    let id = format!("p-{}", category.name);
    let (read, write) = (category.read(), category.write());
    let chosen: Vec<&str> = chosen.all("scope").collect();
    html! {
        div.field {
            label for=(id) { (category.name) }
            select id=(id) name="scope" {
                option value="" { "No access" }
                option value=(read) selected[chosen.contains(&read)] { "Read" }
                option value=(write) selected[chosen.contains(&write)] { "Read and write" }
            }
        }
    }
}

impl Questions {
    /// Reads the names of repositories. One that the person can't see is not there.
    fn read_repositories(&self, fields: &Fields, problems: &mut Problems) -> Option<Vec<Resource>> {
        let person = SIGNED_IN.try_with(Clone::clone).ok().flatten();
        let lines = fields.text("repos").lines().map(str::trim).filter(|line| !line.is_empty());
        let mut limits = Vec::new();
        for line in lines {
            let found = line.split_once('/').and_then(|(owner, name)| {
                let account = self.0.accounts.by_name(owner)?;
                let repo = self.0.repos.find_now(&account.owner, name).ok()??;
                let is_seen = Some(&repo.owner) == person.as_ref() || !repo.facts.private;
                limit_to(&repo).ok().filter(|_| is_seen)
            });
            let Some(limit) = found else {
                let words = format!("There is no “{line}” that you can see. Write owner/name.");
                problems.add("repos", "A repository is not there", words);
                return None;
            };
            limits.push(limit);
        }
        if limits.is_empty() {
            let words = "Write at least one, or choose another answer.";
            problems.add("repos", "The repositories are missing", words);
            return None;
        }
        Some(limits)
    }
}
