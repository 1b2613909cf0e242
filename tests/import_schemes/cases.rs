//! The published tokens of other systems, each with the scheme that imports it.

use std::sync::Arc;

use app_tokens::Owner;
use app_tokens::import::{
    Argon2, Bcrypt, Blake3, Foreign, ForeignSecret, Forgejo, Import, InvalidKept, Jwt, Pbkdf2,
    Plain, Sha256, Sha512, Uuid,
};
use serde_json::Value;

/// One row of an old system, and the text that its holder has.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub text: String,
    pub owner: Owner,
    pub import: Import,
    pub is_slow: bool,
    pub expected: Expected,
    add: Arc<dyn Fn(Import) -> Import + Send + Sync>,
    secret: Arc<dyn Fn() -> Result<ForeignSecret, InvalidKept> + Send + Sync>,
}

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    LetIn,
    /// The text is not that of the row. The row may be one that can't be imported.
    NotOurs,
    /// The row can't be imported.
    Refused,
}

impl Case {
    /// Returns what the old system kept.
    pub fn secret(&self) -> Result<ForeignSecret, InvalidKept> {
        (self.secret)()
    }

    fn new<F: Foreign + Clone>(
        text: &str,
        scheme: F,
        secret: impl Fn(&F, &Owner) -> Result<ForeignSecret, InvalidKept> + Send + Sync + 'static,
    ) -> Case {
        let owner = Owner::new("alice").unwrap();
        let added = scheme.clone();
        Case {
            name: String::new(),
            text: text.to_owned(),
            owner: owner.clone(),
            import: Import::new().scheme(scheme.clone()),
            is_slow: scheme.is_slow(),
            expected: Expected::LetIn,
            add: Arc::new(move |import| import.scheme(added.clone())),
            secret: Arc::new(move || secret(&scheme, &owner)),
        }
    }
}

/// Returns the cases of both files, and of the file that `INTEROP_VECTORS` names.
pub fn all() -> Vec<Case> {
    let mut texts = vec![
        include_str!("../vectors/interop.json").to_owned(),
        include_str!("../vectors/interop_more.json").to_owned(),
    ];
    if let Some(further) = std::env::var_os("INTEROP_VECTORS") {
        texts.push(std::fs::read_to_string(further).expect("the file of INTEROP_VECTORS"));
    }
    let cases: Vec<Case> = texts.iter().flat_map(|text| in_file(text)).collect();
    assert!(cases.len() >= 34, "only {} cases", cases.len());
    cases
}

/// Returns the first case of each scheme. The slow ones are cheap.
pub fn one_of_each_scheme() -> Vec<Case> {
    let mut cases = all();
    cases.retain(|case| case.expected == Expected::LetIn && case.text != "bug");
    cases.sort_by_key(|case| case.is_slow && !case.name.starts_with("more"));
    let mut seen = std::collections::BTreeSet::new();
    cases.retain(|case| seen.insert(format!("{:?}", case.import)));
    assert!(cases.len() >= 12, "{seen:?}");
    cases
}

/// Makes one import of the schemes of all these cases.
pub fn together(cases: &[Case]) -> Import {
    cases.iter().fold(Import::new(), |import, case| (case.add)(import))
}

fn in_file(json: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(json).expect("JSON");
    let prefix = if json.contains("hashlib") { "more " } else { "" };
    let sections = file.as_object().expect("an object of systems");
    let sections = sections.iter().filter(|(name, _)| *name != "about");
    let rows = sections.flat_map(|(system, section)| {
        let rows = section["rows"].as_array().expect("rows").iter().enumerate();
        rows.map(move |(number, row)| {
            let expected = match &row["match"] {
                Value::Null | Value::Bool(true) => Expected::LetIn,
                Value::Bool(false) => Expected::NotOurs,
                _ => Expected::Refused,
            };
            let name = format!("{prefix}{system} {number}");
            Case { name, expected, ..case(system, section, row, expected) }
        })
    });
    rows.collect()
}

/// Reads one row of a system.
fn case(system: &str, section: &Value, row: &Value, expected: Expected) -> Case {
    let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let (token, hash) = (field("token"), field("hash"));
    // Some systems keep the text itself. A row with another text names it like a hash.
    let kept = row["hash"].as_str().unwrap_or(&token).to_owned();
    match system {
        "gitea_forgejo" => {
            let (salt, last_eight) = (field("salt"), field("last_eight"));
            Case::new(&token, Forgejo::new(), move |scheme, _| {
                scheme.secret(&hash, &salt, &last_eight)
            })
        }
        "nextcloud" => {
            let scheme = Sha512::of_nextcloud(&field("secret"));
            // Nextcloud's own tests have shorter texts than it looks up.
            let scheme = match expected {
                Expected::LetIn => scheme.shortest(token.chars().count().min(22)),
                Expected::NotOurs | Expected::Refused => scheme,
            };
            Case::new(&token, scheme, move |scheme, _| scheme.secret(&hash))
        }
        "opencloud_argon2id" => {
            Case::new(&token, Argon2::by_owner(), move |scheme, owner| scheme.secret(&hash, owner))
        }
        "opencloud_bcrypt" => {
            Case::new(&token, Bcrypt::by_owner(), move |scheme, owner| scheme.secret(&hash, owner))
        }
        "pbkdf2" => {
            Case::new(&token, Pbkdf2::by_owner(), move |scheme, owner| scheme.secret(&hash, owner))
        }
        "powershell_universal" => {
            let scheme = Jwt::danger_with_any_key(section["signing_key"].as_str().expect("a key"));
            Case::new(&token, scheme, move |scheme, _| scheme.secret(&kept))
        }
        "sha256" => {
            // As Sanctum writes a text: a number and a bar before what is hashed.
            let id = token.split_once('|').map_or("", |(id, _)| id);
            let is_sanctum = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
            let scheme =
                if is_sanctum { Sha256::of_sanctum() } else { Sha256::of_unknown_strength() };
            Case::new(&token, scheme, move |scheme, _| scheme.secret(&hash))
        }
        "sanctum" => Case::new(&token, Sha256::of_sanctum(), move |scheme, _| scheme.secret(&hash)),
        "blake3" => {
            let scheme = Blake3::of_unknown_strength();
            let scheme = match row["key"].as_str() {
                Some(key) => scheme.keyed(key.as_bytes().try_into().expect("a key of 32 bytes")),
                None => scheme,
            };
            Case::new(&token, scheme, move |scheme, _| scheme.secret(&hash))
        }
        "nuxeo" => Case::new(&token, Uuid::v4(), move |scheme, _| scheme.secret(&kept)),
        "plain" => {
            Case::new(&token, Plain::of_unknown_strength(), move |scheme, _| scheme.secret(&kept))
        }
        other => panic!("no scheme imports the tokens of {other}; add it here"),
    }
}
