//! What a browser sent in a form.

use axum::extract::{Form, FromRequest, Request};
use axum::response::Response;

use super::Gate;

/// The fields of a form or a query, in their order, as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// Returns a field that may be there once. A field that was sent twice counts as missing, so
    /// that none of the two is taken by chance.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.all(name);
        let value = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// Returns a field, or an empty text if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Returns all values of a field.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// Sets a field that a form begins with.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Fields {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Returns all fields but these, for a form that carries them on.
    pub fn without<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let others = self.0.iter().filter(|(name, _)| !names.contains(&&**name));
        others.map(|(name, value)| (&**name, &**value))
    }
}

/// Reads the form, or answers with a page that says what to do.
impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Fields, Response> {
        let gate = request.extensions().get::<Gate>().cloned();
        match Form::<Vec<(String, String)>>::from_request(request, state).await {
            Ok(Form(fields)) => Ok(Fields(fields)),
            Err(_) => Err(Gate::unreadable(gate.as_ref())),
        }
    }
}

/// What is wrong with a form: a field's id, a line for the summary, and the words at the field.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>);

#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub field: &'static str,
    pub summary: String,
    pub words: String,
}

impl Problems {
    /// Adds a problem. The field is the id of an element.
    pub fn add(&mut self, field: &'static str, summary: &str, words: impl Into<String>) {
        self.0.push(Problem { field, summary: summary.into(), words: words.into() });
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the words at a field.
    pub fn at(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|problem| problem.field == field).map(|problem| &*problem.words)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_was_sent_twice_is_missing() {
        let fields = Fields::default().with("access", "read").with("id", "1").with("id", "2");
        assert_eq!((fields.get("access"), fields.get("id")), (Some("read"), None));
        assert_eq!(fields.all("id").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields.without(&["id"]).collect::<Vec<_>>(), [("access", "read")]);
    }
}
