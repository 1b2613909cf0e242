//! Checks the cloud's answers against its OpenAPI file.

use std::sync::OnceLock;

use app_tokens::Timestamp;
use serde_json::{Map, Value};

use super::Answer;

pub const FILE: &str = include_str!("../../openapi.json");

pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(FILE).unwrap())
}

/// Returns each path as the file writes it, `{id}` and all, with the methods it documents there.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static Map<String, Value>)> {
    let paths = document()["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| (path.as_str(), item.as_object().unwrap()))
}

/// Returns every documented method, path and operation.
pub fn operations() -> Vec<(String, &'static str, &'static Value)> {
    let of_path = |(path, item): (&'static str, &'static Map<String, Value>)| {
        let methods = item.iter().filter(|(name, _)| *name != "parameters");
        methods.map(move |(method, operation)| (method.to_uppercase(), path, operation))
    };
    paths().flat_map(of_path).collect()
}

pub fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let documented = item(path)?.get(&method.to_lowercase());
    documented.filter(|_| method != "parameters")
}

fn item(path: &str) -> Option<&'static Map<String, Value>> {
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let asked = parts(path.split('?').next().unwrap());
    let is_meant = |template: &str| {
        let template = parts(template);
        template.len() == asked.len()
            && template.iter().zip(&asked).all(|(t, a)| t.starts_with('{') || t == a)
    };
    paths().find(|(template, _)| is_meant(template)).map(|(_, item)| item)
}

/// Checks that the file has this answer for this request.
#[track_caller]
pub fn hold(method: &str, path: &str, body: &str, answer: &Answer) {
    let what = format!("{method} {path} {body:.200} → {} {:.500}", answer.status, answer.body);
    let Some(operation) = operation(method, path) else {
        let expected = if item(path).is_some() { 405 } else { 404 };
        assert_eq!(answer.status, expected, "not documented: {what}");
        let problem = fits(&document()["components"]["schemas"]["Problem"], &answer.json());
        return assert_eq!(problem, Ok(()), "{what}");
    };
    if answer.status < 300 {
        hold_request(&operation["requestBody"], body, &what);
    }
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "a status that is not documented: {what}");
    let response = resolve(response);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let value = answer.header(name).map(Value::from).unwrap_or_default();
        assert_eq!(fits(&resolve(header)["schema"], &value), Ok(()), "{name}: {what}");
    }
    let Some(content) = response.get("content") else {
        return assert_eq!(answer.body, "", "{what}");
    };
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    let schema = &content["application/json"]["schema"];
    assert_eq!(fits(schema, &answer.json()), Ok(()), "{what}");
}

/// Checks that a request that succeeded was documented.
#[track_caller]
fn hold_request(documented: &'static Value, body: &str, what: &str) {
    if body.is_empty() {
        return assert_ne!(documented["required"], true, "done without a body: {what}");
    }
    let schema = &documented["content"]["application/json"]["schema"];
    assert_eq!(fits(schema, &serde_json::from_str(body).unwrap()), Ok(()), "{what}");
}

/// Follows a `$ref` within the file.
pub fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(to) => document().pointer(to.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Checks a value against a schema. Knows only the part of JSON Schema that the file uses.
pub fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = resolve(schema);
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array().into_iter().flatten();
    let fields = || value.as_object().into_iter().flatten();
    for (keyword, rule) in schema.as_object().unwrap() {
        let is_kept = match keyword.as_str() {
            "description" => true,
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_a(name, value)),
                name => is_a(name, value),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minLength" => length.is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxLength" => length.is_none_or(|length| length <= rule.as_u64().unwrap()),
            "minItems" => items.clone().count() as u64 >= rule.as_u64().unwrap(),
            "format" => {
                assert_eq!(rule, "date-time");
                value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok())
            }
            "items" => {
                items.clone().try_for_each(|item| fits(rule, item))?;
                true
            }
            "properties" => {
                fields().try_for_each(|(name, field)| match rule.get(name) {
                    Some(schema) => fits(schema, field).map_err(|why| format!("{name}: {why}")),
                    None => Ok(()),
                })?;
                true
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                assert_eq!(rule, false);
                fields().all(|(name, _)| schema["properties"].get(name).is_some())
            }
            "oneOf" => {
                rule.as_array().unwrap().iter().filter(|one| fits(one, value).is_ok()).count() == 1
            }
            other => panic!("{other} is nothing that is checked here"),
        };
        if !is_kept {
            return Err(format!("{value} breaks {keyword}: {rule}"));
        }
    }
    Ok(())
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type that is checked here"),
    }
}
