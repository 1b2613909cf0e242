//! An old system's database, and the guide that moves it.

use std::fs;
use std::path::Path;

use app_tokens::import::Import;
use app_tokens::store::SqliteStore;
use app_tokens::web::{Login, NamesAreOwners, Refusal};
use app_tokens::{Authenticated, Caller, Origin, Requirement};
use rusqlite::Connection;

use super::{Host, Ran};

/// A guide as its reader sees it: the query, and the commands.
pub struct Guide {
    pub query: String,
    pub commands: Vec<String>,
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
        let commands: Vec<_> =
            blocks("sh").iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
        assert!(commands.iter().all(|line| line.starts_with("admin ")), "{commands:?}");
        Guide { query: query.clone(), commands }
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
        let mut commands = guide.commands.iter();
        self.admin(&words(commands.next().unwrap())).done();
        let report = self.admin_reading(&rows, &words(commands.next().unwrap()));
        assert_eq!(commands.next(), None);
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
