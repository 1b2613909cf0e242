//! Prints tokens as a table or as JSON. A view has no secret, so no output has one.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write as _};

use app_tokens::access::Selection;
use app_tokens::record::Expires;
use app_tokens::report::TokenPage;
use app_tokens::{Timestamp, TokenId, TokenView};
use serde_json::{Value, json};

use crate::problem::Problem;

/// Prints a line on standard output.
pub fn say(text: impl Display) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Prints a line on standard error.
pub fn note(text: impl Display) {
    let _nobody_reads = writeln!(io::stderr(), "{text}");
}

/// A list that is written while it is read, so that its length doesn't matter.
pub struct Listing {
    out: BufWriter<Stdout>,
    json: bool,
    unclear: &'static str,
    count: u64,
}

impl Listing {
    pub fn new(json: bool, unclear: &'static str) -> Listing {
        Listing { out: BufWriter::new(io::stdout()), json, unclear, count: 0 }
    }

    pub fn page(&mut self, page: &TokenPage) -> Result<(), Problem> {
        page.tokens.iter().try_for_each(|token| self.token(token))?;
        page.damaged.iter().try_for_each(|id| self.damaged(*id))
    }

    fn token(&mut self, token: &TokenView) -> Result<(), Problem> {
        if self.json {
            return self.item(&describe(token, self.unclear));
        }
        let last_use = token.last_use().map_or("never".into(), |last_use| minute(last_use.at));
        let expires = token.expires().at().map_or("never".into(), minute);
        self.line(
            &token.id(),
            &status(token, self.unclear),
            [&minute(token.created_at()), &expires, &last_use],
            format_args!("{:16}  {}", token.owner().as_str(), token.label()),
        )
    }

    /// Prints a row that can't be read. It never authenticates.
    fn damaged(&mut self, id: TokenId) -> Result<(), Problem> {
        if self.json {
            return self.item(&json!({ "id": id.to_string(), "status": "damaged" }));
        }
        self.line(&id, &"damaged", ["", "", ""], "the row can't be read; revoke or forget it")
    }

    pub fn end(mut self) -> Result<u64, Problem> {
        match (self.json, self.count) {
            (true, 0) => writeln!(self.out, "[]")?,
            (true, _) => writeln!(self.out, "\n]")?,
            (false, _) => {}
        }
        self.out.flush()?;
        Ok(self.count)
    }

    fn item(&mut self, item: &Value) -> Result<(), Problem> {
        write!(self.out, "{}\n{item}", if self.count == 0 { "[" } else { "," })?;
        self.count += 1;
        Ok(())
    }

    fn line(
        &mut self,
        id: &dyn Display,
        status: &dyn Display,
        times: [&str; 3],
        what: impl Display,
    ) -> Result<(), Problem> {
        let [created, expires, last_use] = times;
        if self.count == 0 {
            writeln!(
                self.out,
                "{:10}  {:10}  {:16}  {:16}  {:16}  OWNER             LABEL",
                "ID", "STATUS", "CREATED", "EXPIRES", "LAST USED"
            )?;
        }
        writeln!(
            self.out,
            "{id:10}  {status:10}  {created:16}  {expires:16}  {last_use:16}  {what}"
        )?;
        self.count += 1;
        Ok(())
    }
}

/// Prints all that is known of a token, one fact a line. Facts that it doesn't have are left out.
pub fn say_all(token: &TokenView, unclear: &'static str) -> Result<(), Problem> {
    let is_said = |name: &str, value: &Value| {
        !value.is_null()
            || ["scopes", "resources", "networks", "expires_at", "last_used_at"].contains(&name)
    };
    for (name, value) in fields(token, unclear) {
        if !is_said(name, &value) {
            continue;
        }
        let heading = name.replace('_', " ") + ":";
        say(format_args!("{heading:16}{}", plain(name, &value)))?;
    }
    Ok(())
}

fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::Null if matches!(name, "scopes" | "resources" | "networks") => "all".into(),
        Value::Null => "never".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => {
            items.iter().map(|item| plain(name, item)).collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns a token as JSON.
pub fn describe(token: &TokenView, unclear: &'static str) -> Value {
    fields(token, unclear).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns a token's facts. `null` means everything for access, and never or nobody elsewhere.
fn fields(token: &TokenView, unclear: &'static str) -> [(&'static str, Value); 20] {
    let (access, revoked) = (token.access(), token.revocation());
    let used = token.last_use();
    [
        ("id", token.id().to_string().into()),
        ("status", status(token, unclear).into()),
        ("owner", token.owner().as_str().into()),
        ("label", token.label().as_str().into()),
        ("scopes", listed(access.granted_scopes())),
        ("resources", listed(access.granted_resources())),
        ("networks", listed(access.granted_networks())),
        ("attributes", attributes(token)),
        ("issued_by", text(token.issued_by())),
        ("created_at", token.created_at().to_string().into()),
        ("expires_at", text(token.expires().at())),
        ("last_used_at", text(used.map(|used| used.at))),
        ("last_used_from", text(used.and_then(|used| used.address))),
        ("last_used_by", text(used.and_then(|used| used.client.as_deref()))),
        ("family", token.family().to_string().into()),
        ("successor", text(token.successor())),
        ("derived_from", text(token.derived_from())),
        ("revoked_at", text(revoked.map(|revoked| revoked.at))),
        ("revoked_for", text(revoked.map(|revoked| &revoked.reason))),
        ("revoked_by", text(revoked.map(|revoked| &revoked.by))),
    ]
}

fn text(value: Option<impl Display>) -> Value {
    value.map(|value| value.to_string()).into()
}

fn listed<T: Display>(selection: &Selection<T>) -> Value {
    match selection {
        Selection::All => Value::Null,
        Selection::Only(items) => items.iter().map(ToString::to_string).collect(),
    }
}

fn attributes(token: &TokenView) -> Value {
    token.attributes().iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

fn status(token: &TokenView, unclear: &'static str) -> &'static str {
    token.status().map_or(unclear, |status| status.as_str())
}

/// Formats a time to the minute: "2026-03-01 12:00".
pub fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// Says in a sentence when a token ends.
pub fn end_of(expires: Expires) -> String {
    match expires {
        Expires::At(at) => format!("ends at {at}"),
        Expires::Never => "never ends".into(),
    }
}
