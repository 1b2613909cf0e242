//! One row as the old database prints it: [`Row`].

use app_tokens::Timestamp;
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

/// A line of the file: a JSON object with the columns of its format.
///
/// Every column must be there, also if it is `null`. A query that forgets one, such as the end,
/// would otherwise make tokens that may do more, or live longer, than before.
pub struct Row(Map<String, Value>);

impl Row {
    /// Parses a line. The error repeats nothing of it but the names of columns.
    pub fn parse(line: &[u8], columns: &[&str]) -> Result<Row, String> {
        let Ok(Value::Object(map)) = serde_json::from_slice(line) else {
            return Err("it is not a JSON object in UTF-8".into());
        };
        let row = Row(map);
        if let Some(missing) = columns.iter().find(|column| !row.0.contains_key(**column)) {
            return Err(match missing {
                &("created" | "expires" | "used" | "revoked") => format!(
                    "the column {missing} is missing; if the old table has none, write \
                     '{missing}', NULL into the query"
                ),
                missing => format!("the column {missing} is missing"),
            });
        }
        if row.0.len() > columns.len() {
            return Err(format!("there are columns besides {}", columns.join(", ")));
        }
        Ok(row)
    }

    fn cell(&self, column: &str) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// Returns a column's text, or a number as text; `None` for `null` and for an empty text.
    pub fn text(&self, column: &str) -> Option<String> {
        match self.cell(column) {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Returns a column's JSON, as text or as the database's own type; `None` if it is empty.
    pub fn json(&self, column: &str) -> Result<Option<Value>, String> {
        match self.cell(column) {
            Value::Null => Ok(None),
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => serde_json::from_str(text).map(Some),
            value => Ok(Some(value.clone())),
        }
        .map_err(|_| format!("{column} is not JSON"))
    }

    /// Takes a column's text out of the row, so that it is wiped after use.
    pub fn take_secret(&mut self, column: &str) -> Zeroizing<String> {
        match self.0.get_mut(column).map(Value::take) {
            Some(Value::String(text)) => Zeroizing::new(text),
            _ => Zeroizing::default(),
        }
    }

    /// Returns whether a column that takes a token out of use is set. What is not clearly unset is
    /// set: a number, a date, a word.
    pub fn is_set(&self, column: &str) -> bool {
        let is_unset = match self.cell(column) {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => {
                ["", "0", "f", "false", "n", "no"].contains(&&*text.to_ascii_lowercase())
            }
            _ => false,
        };
        !is_unset
    }

    /// Returns whether a column that gives access is true. What is not clearly true is false.
    pub fn is_true(&self, column: &str) -> bool {
        match self.cell(column) {
            Value::Bool(is_true) => *is_true,
            Value::Number(number) => number.as_u64() == Some(1),
            Value::String(text) => ["1", "t", "true"].contains(&&**text),
            _ => false,
        }
    }

    /// Returns a column's point in time; `None` for `null`, an empty text and zero.
    ///
    /// It may be Unix seconds, an instant of RFC 3339, or what databases print: a date, a space and
    /// a time, which is UTC unless an offset says otherwise.
    pub fn time(&self, column: &str) -> Result<Option<Timestamp>, String> {
        let wrong = || format!("{column} is not Unix seconds or a date and a time");
        match self.cell(column) {
            Value::Null => Ok(None),
            Value::Number(number) => {
                let seconds = number.as_i64().or(number.as_f64().map(|seconds| seconds as i64));
                seconds.and_then(from_unix).ok_or_else(wrong)
            }
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => match text.parse().ok() {
                Some(seconds) => from_unix(seconds).ok_or_else(wrong),
                None => from_date(text).map(Some).ok_or_else(wrong),
            },
            _ => Err(wrong()),
        }
    }

    /// Returns the names in a column: a JSON array of texts, that array as text, or a text with
    /// commas or spaces between them. `None` if it is `null` or empty.
    pub fn names(&self, column: &str) -> Result<Option<Vec<String>>, String> {
        let wrong = || format!("{column} is not a list of names");
        let listed = |values: &[Value]| {
            let names = values.iter().map(|value| value.as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>().ok_or_else(wrong)
        };
        match self.cell(column) {
            Value::Null => Ok(None),
            Value::Array(values) => listed(values).map(Some),
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) if text.trim_start().starts_with(['[', '{', '"']) => {
                match serde_json::from_str(text) {
                    Ok(Value::Array(values)) => listed(&values).map(Some),
                    _ => Err(wrong()),
                }
            }
            Value::String(text) => {
                let names = text.split([',', ' ']).filter(|name| !name.is_empty());
                Ok(Some(names.map(str::to_owned).collect()))
            }
            _ => Err(wrong()),
        }
    }
}

/// Wipes what was not taken out: the row of a token that is skipped still has its secret.
impl Drop for Row {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns a time; an inner `None` for zero, by which these systems mean no time.
fn from_unix(seconds: i64) -> Option<Option<Timestamp>> {
    match seconds {
        0 => Some(None),
        seconds => Timestamp::from_unix(seconds).ok().map(Some),
    }
}

fn from_date(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let time = time.trim_end_matches(" UTC");
    let offset = time.find(['Z', '+', '-']).map(|at| &time[at..]);
    let more = match offset {
        // PostgreSQL leaves out the minutes: +00.
        Some(offset) if offset.len() == 3 => ":00",
        Some(_) => "",
        None => "Z",
    };
    format!("{date}T{time}{more}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cell: &str) -> Row {
        Row::parse(format!(r#"{{"x": {cell}}}"#).as_bytes(), &["x"]).unwrap()
    }

    #[test]
    fn a_column_too_few_or_too_many_is_an_error_and_its_text_is_not_repeated() {
        for line in ["", "null", "[]", "x", "owner,label", r#"{"a":1,"b":"#, "{\"a\":\"\0\"}"] {
            let error = Row::parse(line.as_bytes(), &["a"]).err().unwrap();
            assert!(error.contains("not a JSON object"), "{line:?}: {error}");
        }
        assert!(Row::parse(b"{\"a\": \"\xff\"}", &["a"]).is_err());
        let missing = Row::parse(br#"{"a": 1}"#, &["a", "b"]).err().unwrap();
        assert_eq!(missing, "the column b is missing");
        let more = Row::parse(br#"{"a": 1, "secret": 2}"#, &["a"]).err().unwrap();
        assert_eq!(more, "there are columns besides a");
    }

    #[test]
    fn a_time_is_read_as_databases_print_it() {
        let at = |seconds| Ok(Some(Timestamp::from_unix(seconds).unwrap()));
        for cell in [
            "1700000000",
            r#""1700000000""#,
            "1700000000.9",
            r#""2023-11-14T22:13:20Z""#,
            r#""2023-11-14 22:13:20""#,
            r#""2023-11-14 22:13:20.123456""#,
            r#""2023-11-14 22:13:20+00""#,
            r#""2023-11-14T23:13:20.5+01:00""#,
            r#""2023-11-14 22:13:20 UTC""#,
        ] {
            assert_eq!(row(cell).time("x"), at(1_700_000_000), "{cell}");
        }
        assert_eq!(row(r#""2023-11-14""#).time("x"), at(1_699_920_000));
        for cell in ["null", "0", r#""""#, r#""0""#] {
            assert_eq!(row(cell).time("x"), Ok(None), "{cell}");
        }
        for cell in ["true", "[]", r#""soon""#, "1700000000000", r#""0000-00-00 00:00:00""#, "1e30"]
        {
            assert!(row(cell).time("x").is_err(), "{cell}");
        }
    }

    #[test]
    fn what_is_unclear_takes_a_token_out_of_use_and_gives_no_access() {
        for cell in ["null", "false", "0", r#""""#, r#""0""#, r#""f""#, r#""False""#] {
            assert!(!row(cell).is_set("x") && !row(cell).is_true("x"), "{cell}");
        }
        for cell in ["true", "1", r#""1""#, r#""t""#, r#""true""#] {
            assert!(row(cell).is_set("x") && row(cell).is_true("x"), "{cell}");
        }
        for cell in ["2", "-1", r#""yes""#, r#""2023-11-14""#, "[]", "{}", "1.5"] {
            assert!(row(cell).is_set("x") && !row(cell).is_true("x"), "{cell}");
        }
    }

    #[test]
    fn what_a_row_holds_is_wiped_in_each_kind_of_cell() {
        let mut value = serde_json::json!({"a": "x", "b": ["y", {"c": "z"}], "d": 1});
        wipe(&mut value);
        assert_eq!(value, serde_json::json!({"a": "", "b": ["", {"c": ""}], "d": 1}));
    }

    #[test]
    fn names_are_read_from_an_array_and_from_a_text() {
        let names = |cell| row(cell).names("x").map(|names| names.unwrap_or_default().join("|"));
        for cell in [r#"["a","b"]"#, r#""[\"a\", \"b\"]""#, r#""a,b""#, r#"" a b ,""#] {
            assert_eq!(names(cell).as_deref(), Ok("a|b"), "{cell}");
        }
        for cell in ["null", r#""""#, r#"" ""#, "[]", r#""[]""#] {
            assert_eq!(names(cell).as_deref(), Ok(""), "{cell}");
        }
        for cell in ["1", "true", "{}", r#""{}""#, "[1]", r#""[\"a\"""#, r#""[[]]""#] {
            assert!(names(cell).is_err(), "{cell}");
        }
    }
}
