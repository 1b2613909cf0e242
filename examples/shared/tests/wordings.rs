//! The settings page in the words of each system, and the administrators' view.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use app_tokens::record::Expires;
use app_tokens::store::{DynStore, MemoryStore};
use app_tokens::{Access, KeyRing, NewToken, Owner, Policy, Reason, TokenAuthority};
use shared::accounts::{Account, Accounts, Password, UsernameRule};
use shared::front::Front;
use shared::page::access::{Choice, Choices, Everything};
use shared::page::admin::{AdminView, Role};
use shared::page::wording::{EndQuestion, Wording};
use shared::page::{Page, Setup};
use shared::session::Sessions;
use support::program::{browser_tools, run_well};

/// A page of this wording at a free port, with an account `demo` that is an administrator, and an
/// account `other` that is not.
struct Host {
    address: SocketAddr,
    tokens: TokenAuthority<DynStore>,
    _runtime: tokio::runtime::Runtime,
}

impl Host {
    fn start(wording: Wording) -> Host {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut policy = Policy::new("acme").unwrap().with_recorded_origin();
        if wording.end == EndQuestion::Never {
            policy = policy.with_never_expiring().unwrap();
        }
        let store = DynStore::new(MemoryStore::new());
        let tokens = TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy);
        let account = |name: &str, roles: &[&str]| Account {
            name: name.into(),
            owner: Owner::new(format!("id-of-{name}")).unwrap(),
            mail: None,
            roles: roles.iter().map(ToString::to_string).collect(),
            is_disabled: false,
            password: Some(Password::hash(name)),
        };
        let people = vec![account("demo", &["Administrator"]), account("other", &["Reader"])];
        let accounts = Accounts::fixed(people, UsernameRule::Uuid);
        let role = |name: &str| Role { name: name.into(), access: Access::scopes([name]).unwrap() };
        let choice = |value, words| Choice {
            value,
            words,
            hint: "",
            access: Access::scopes([value]).unwrap(),
        };
        let choices = Choices {
            policy: tokens.policy().clone(),
            legend: "Permissions",
            list: vec![choice("Reader", "Reader"), choice("Administrator", "Administrator")],
            first: 0,
            only_in: None,
        };
        let asks = !wording.columns.iter().all(|column| !format!("{column:?}").starts_with("Acc"));
        let tokens_of_page = tokens.clone();
        let address = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let setup = Setup {
                wording,
                access: if asks { Arc::new(choices) } else { Arc::new(Everything) },
                server: format!("http://{address}/"),
                recipes: Vec::new(),
                admin: Some(AdminView {
                    role: "Administrator",
                    roles: vec![role("Reader"), role("Administrator")],
                    may_have: |account, role| account.has_role(role),
                }),
            };
            let sessions = Sessions::new("Test", address.port(), false).unwrap();
            let page =
                Page::new(tokens_of_page, accounts, sessions, Front::default(), setup).unwrap();
            let app = page.routes().into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, app).await });
            address
        });
        Host { address, tokens, _runtime: runtime }
    }

    /// Issues a token as the owner would.
    fn issue(&self, name: &str, label: &str) -> String {
        let owner = Owner::new(format!("id-of-{name}")).unwrap();
        let mut new = NewToken::new(&owner, label, Access::scopes(["Reader"]).unwrap());
        if self.tokens.policy().allows_never_expiring() {
            new = new.never_expires();
        }
        let issued = self._runtime.block_on(self.tokens.issue(new)).unwrap();
        issued.id().to_string()
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str, cookie: &str) -> String {
        let host = self.address;
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, cookie: &str, form: &str) -> String {
        let (host, length) = (self.address, form.len());
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{form}"
        ))
    }

    fn sign_in(&self, name: &str) -> String {
        let answer = self.post("/sign-in", "", &format!("name={name}&password={name}&to=/"));
        let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        line.split(';').next().unwrap().to_owned()
    }
}

fn all() -> [(&'static str, Wording); 6] {
    [
        ("cloud", Wording::APP_PASSWORDS),
        ("opencloud", Wording::OPENCLOUD),
        ("nextcloud", Wording::NEXTCLOUD),
        ("forgejo", Wording::FORGEJO),
        ("powershell", Wording::POWERSHELL_UNIVERSAL),
        ("nuxeo", Wording::NUXEO),
    ]
}

fn once(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"once\" value=\"").expect("a form");
    rest.split('"').next().unwrap()
}

#[test]
fn each_system_says_its_own_words_and_one_word_for_a_token() {
    for (name, wording) in all() {
        let host = Host::start(wording.clone());
        let cookie = host.sign_in("demo");
        host.issue("demo", "My device");
        let list = host.get("/", &cookie);
        let title = format!("<h1>{}</h1>", wording.title.replace('&', "&amp;"));
        assert!(list.contains(&title) && list.contains("My device"), "{name}");
        let form = if list.contains("name=\"once\"") { list } else { host.get("/new", &cookie) };
        assert!(form.contains(wording.create), "{name}");
        let form = form.as_str();
        let wish = "label=x&access=Reader&end=30&date=2099-12-31";
        let shown = host.post("/tokens", &cookie, &format!("{wish}&once={}", once(form)));
        assert!(shown.contains("<textarea id=\"secret\""), "{name}: {shown}");
        assert!(shown.contains("value=\"id-of-demo\""), "{name}: what clients send as a name");
        for other in ["app password", "App Token", "access token"] {
            let is_own = [wording.one, wording.many].iter().any(|own| own.contains(other));
            assert_eq!(shown.contains(other), is_own, "{name}: {other}");
        }
        let ends = host._runtime.block_on(host.tokens.all_of(&Owner::new("id-of-demo").unwrap()));
        let new = ends.unwrap().tokens.into_iter().find(|token| token.label().as_str() == "x");
        let never = new.unwrap().expires() == Expires::Never;
        assert_eq!(never, wording.end == EndQuestion::Never, "{name}");
    }
}

#[test]
fn administrators_see_grant_and_revoke_the_tokens_of_all_and_nobody_else_does() {
    let host = Host::start(Wording::APP_PASSWORDS);
    let id = host.issue("other", "<b>script");
    let (admin, other) = (host.sign_in("demo"), host.sign_in("other"));
    let one = format!("/admin/tokens/{id}");
    for path in ["/admin/tokens", &one] {
        assert!(host.get(path, &other).starts_with("HTTP/1.1 404"), "{path}");
        assert!(host.post(path, &other, "identity=id-of-demo").starts_with("HTTP/1.1 404"));
    }
    assert!(host.get("/", &admin).contains("href=\"/admin/tokens\""));
    assert!(!host.get("/", &other).contains("/admin/tokens"));
    let list = host.get("/admin/tokens?identity=oth", &admin);
    assert!(list.contains("<bdi class=\"name\">other</bdi>") && list.contains("&lt;b&gt;script"));
    assert!(!host.get("/admin/tokens?identity=demo", &admin).contains(&id));
    assert!(!host.get("/admin/tokens?status=revoked", &admin).contains(&id));

    let grant = |identity: &str, role: &str| {
        let form = host.get("/admin/tokens", &admin);
        let wish = format!("identity={identity}&role={role}&date=2099-12-31&once={}", once(&form));
        host.post("/admin/tokens", &admin, &wish)
    };
    let shown = grant("id-of-other", "Reader");
    assert!(shown.contains("<textarea id=\"secret\""), "{shown}");
    for (identity, role) in
        [("id-of-other", "Administrator"), ("id-of-nobody", "Reader"), ("id-of-other", "")]
    {
        let refused = grant(identity, role);
        assert!(refused.starts_with("HTTP/1.1 422"), "{identity} {role}: {refused}");
    }
    let owner = Owner::new("id-of-other").unwrap();
    let all = || host._runtime.block_on(host.tokens.all_of(&owner)).unwrap().tokens;
    assert_eq!(all().len(), 2);
    let granted = all().into_iter().find(|token| token.label().as_str() == "App password");
    assert_eq!(granted.unwrap().issued_by().unwrap().as_str(), "demo", "who granted it is kept");

    assert!(host.get(&one, &admin).contains("of <bdi>other</bdi>?"));
    let revoked = host.post(&one, &admin, "reason=lost+or+stolen");
    assert!(revoked.contains("location: /admin/tokens?done=revoked"), "{revoked}");
    let list = host.get("/admin/tokens?status=revoked&page=1", &admin);
    assert!(list.contains("by <bdi>demo</bdi>: <bdi>lost or stolen</bdi>"), "{list}");
}

#[test]
fn no_page_of_any_system_breaks_a_rule_of_access_in_a_real_browser() {
    let Some(tools) = browser_tools() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser.mjs");
    let shots = tools.join("shots");
    for (name, wording) in all() {
        let host = Host::start(wording);
        for label in ["Laptop", "Phone", "A label that is rather long, as people write them"] {
            host.issue("demo", label);
        }
        let ended = host.issue("demo", "Old tablet").parse().unwrap();
        let owner = Owner::new("id-of-demo").unwrap();
        let revoked = host.tokens.revoke(&owner, ended, Reason::REQUESTED);
        host._runtime.block_on(revoked).unwrap();
        let url = format!("http://{}", host.address);
        let (tools, shots) = (tools.to_str().unwrap(), shots.to_str().unwrap());
        let arguments = [script, tools, &url, shots, name, "/", "/new", "/admin/tokens"];
        run_well(Path::new(tools), "node", &arguments);
    }
}
