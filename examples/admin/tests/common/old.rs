//! An old system's database, and the guide that moves it.

use std::fs;
use std::path::Path;

use app_tokens::import::Import;
use app_tokens::store::SqliteStore;
use app_tokens::web::{Login, NamesAreOwners, Refusal};
use app_tokens::{Authenticated, Caller, Origin, Requirement};
use rusqlite::Connection;

use super::{Host, Ran};

/// A guide as its reader sees it.
pub struct Guide {
    pub query: String,
    /// What is done before the query is run.
    pub prepare: String,
    /// What runs the query: a command for each database.
    pub clients: Vec<String>,
    /// What imports the rows.
    pub import: String,
}

impl Guide {
    #[track_caller]
    pub fn read(name: &str) -> Guide {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/guide");
        let text = fs::read_to_string(folder.join(format!("move_from_{name}.md"))).unwrap();
        let blocks = |kind: &str| -> Vec<String> {
            let mark = format!("```{kind}\n");
            text.split(&mark)
                .skip(1)
                .map(|block| block.split("\n```").next().unwrap().to_owned())
                .collect()
        };
        let [query] = &blocks("sql")[..] else { panic!("{name} has not one query") };
        let [prepare, lines] = &blocks("sh")[..] else { panic!("{name} has not two blocks") };
        // A command goes on after a bar.
        let lines = lines.replace("|\n", "|");
        let (admin, clients): (Vec<_>, Vec<_>) =
            lines.lines().map(str::to_owned).partition(|line| line.starts_with("admin "));
        let import = match &admin[..] {
            [import] => import.clone(),
            // Each client's own command ends with it.
            _ => clients[0].rsplit('|').next().unwrap().trim().to_owned(),
        };
        Guide { query: query.clone(), prepare: prepare.clone(), clients, import }
    }
}

impl Host {
    /// Makes a host that takes tokens over, with these scopes.
    pub fn with_import(scopes: &[&str]) -> Host {
        let host = Host::new();
        let scopes: String = scopes.iter().map(|scope| format!("'{scope}' = []\n")).collect();
        let policy =
            "prefix = 'acme'\nopen_import = true\nnever_expiring = true\n[scopes]\n".to_owned();
        fs::write(host.path("policy.toml"), policy + &scopes).unwrap();
        host
    }

    /// Makes the old database, prints it by the guide's query, and runs the guide's commands.
    /// Returns the report.
    #[track_caller]
    pub fn follow(&self, guide: &Guide, tables: &str) -> Ran {
        let database = Connection::open(self.path("old.db")).unwrap();
        database.execute_batch(tables).unwrap();
        let rows = printed(&database, &guide.query);
        fs::write(self.path("rows.jsonl"), &rows).unwrap();
        self.admin(&words(&guide.prepare)).done();
        let report = self.admin_reading(&rows, &words(&guide.import));
        assert!(report.code.is_some() && !report.out.is_empty(), "{report:?}");
        report
    }

    pub fn login(
        &self,
        import: &Import,
    ) -> Login<SqliteStore, NamesAreOwners<impl Fn(&str) -> bool + use<>>> {
        Login::new(self.tokens(), NamesAreOwners(|name: &str| name != "ghost")).with_import(import)
    }

    /// Presents a text, with a user name or without.
    pub fn enter(
        &self,
        import: &Import,
        name: Option<&str>,
        text: &str,
    ) -> Result<Caller, Refusal> {
        let login = self.login(import);
        let entered = login.tokens().block_on(login.enter_with(name, text, Origin::unknown()));
        entered.map(any)
    }

    /// Checks that `import status` has this line, with single spaces.
    #[track_caller]
    pub fn assert_status(&self, line: &str) {
        let said = self.admin(&["import", "status"]).done();
        let lines: Vec<_> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(lines.iter().any(|said| said == line), "{line} is not in {said}");
    }
}

fn any(authenticated: Authenticated) -> Caller {
    authenticated.require(Requirement::ANY_VALID_TOKEN).unwrap()
}

#[track_caller]
pub fn assert_not_ours(entered: &Result<Caller, Refusal>) {
    assert!(matches!(entered, Err(Refusal::NotOurs)), "{entered:?}");
}

#[track_caller]
pub fn assert_denied(entered: &Result<Caller, Refusal>) {
    assert!(matches!(entered, Err(Refusal::Denied(_))), "{entered:?}");
}

/// Prints a query's rows, a line each, as `sqlite3` does.
pub fn printed(database: &Connection, query: &str) -> String {
    let mut statement = database.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| row.unwrap() + "\n").collect()
}

/// Returns the arguments of a command as a shell would split it.
fn words(command: &str) -> Vec<&str> {
    assert!(!command.contains(['"', '\'', '\\']), "{command}");
    command.split(' ').skip(1).collect()
}
