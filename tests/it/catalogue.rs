//! The catalogue of operations against the description of the API (`tests/fixtures/api/openapi.json`): nothing is
//! missing, nothing is made up, and every published example is read without loss.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use smtp2go_gateway::config::Secret;
use smtp2go_gateway::http::{ClientSettings, client};
use smtp2go_gateway::provider::groups::stats::StatsCycle;
use smtp2go_gateway::provider::{
    Account, ApiError, Deadlines, Disposition, Effect, Operation, Provider, operations,
};

use crate::support::api::{Act, Api};
use crate::support::site::KEY;

fn description() -> Value {
    serde_json::from_str(include_str!("../fixtures/api/openapi.json")).unwrap()
}

/// Follows `$ref`.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).expect(path),
        None => schema,
    }
}

/// Every described operation: method, path and what is said of it.
fn described(root: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in root["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if ["post", "patch", "get"].contains(&method.as_str()) {
                all.push((method.to_uppercase(), path.clone(), operation));
            }
        }
    }
    all
}

fn find(method: &str, path: &str) -> Option<&'static Operation> {
    operations()
        .iter()
        .find(|operation| operation.method.word() == method && operation.path == path)
}

#[test]
fn every_described_operation_has_a_type_and_every_type_is_described() {
    let root = description();
    let described: BTreeSet<(String, String)> = described(&root)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let typed: BTreeSet<(String, String)> = operations()
        .iter()
        .map(|operation| {
            (
                operation.method.word().to_owned(),
                operation.path.to_owned(),
            )
        })
        .collect();
    let missing: Vec<_> = described.difference(&typed).collect();
    assert!(missing.is_empty(), "without a type: {missing:?}");
    let made_up: Vec<_> = typed.difference(&described).collect();
    assert!(made_up.is_empty(), "not described: {made_up:?}");
    let names: BTreeSet<_> = operations()
        .iter()
        .map(|operation| (operation.group, operation.verb))
        .collect();
    assert_eq!(names.len(), operations().len(), "two commands of one name");
}

#[test]
fn every_member_of_every_request_is_there_and_required_where_it_must_be() {
    let root = description();
    for (method, path, about) in described(&root) {
        let operation = find(&method, &path).unwrap();
        let schema = &about["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(&root, schema);
        let parts = match schema["allOf"].as_array() {
            Some(parts) => parts.iter().map(|part| resolved(&root, part)).collect(),
            None => vec![schema],
        };
        let mut members = Map::new();
        let mut required = BTreeSet::new();
        for part in parts {
            members.extend(part["properties"].as_object().cloned().unwrap_or_default());
            let names = part["required"].as_array().into_iter().flatten();
            required.extend(names.filter_map(Value::as_str).map(str::to_owned));
        }
        members.remove("api_key");
        let described: BTreeSet<&str> = members.keys().map(String::as_str).collect();
        let typed: BTreeSet<&str> = operation.fields.iter().map(|field| field.name).collect();
        assert_eq!(typed, described, "{method} {path}");
        let needed: BTreeSet<String> = operation
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name.to_owned())
            .collect();
        assert_eq!(needed, required, "{method} {path}");
    }
}

#[test]
fn every_published_answer_is_read_and_written_without_loss() {
    let root = description();
    let mut examples = 0;
    for (method, path, about) in described(&root) {
        let operation = find(&method, &path).unwrap();
        let answer = &about["responses"]["200"]["content"]["application/json"]["examples"];
        for (name, example) in answer.as_object().into_iter().flatten() {
            let data = &example["value"]["data"];
            if data.is_null() {
                continue;
            }
            examples += 1;
            let again = (operation.reread)(data.clone()).expect(&path);
            assert_eq!(
                normal(again),
                normal(data.clone()),
                "{method} {path} {name}"
            );
        }
    }
    assert!(examples >= 60, "only {examples} examples");
}

#[test]
fn every_published_request_is_one_of_its_type() {
    let root = description();
    let mut examples = 0;
    for (method, path, about) in described(&root) {
        let operation = find(&method, &path).unwrap();
        let request = &about["requestBody"]["content"]["application/json"]["examples"];
        for (name, example) in request.as_object().into_iter().flatten() {
            examples += 1;
            let request = example["value"].clone();
            let again = (operation.reread_request)(request.clone()).expect(&path);
            assert_eq!(again, request, "{method} {path} {name}");
        }
    }
    assert!(examples >= 2, "only {examples} examples");
}

#[tokio::test]
async fn every_published_error_is_understood() {
    let root = description();
    let mut examples = 0;
    for (name, answer) in root["components"]["responses"].as_object().unwrap() {
        let examples_of = &answer["content"]["application/json"]["examples"];
        for (example, value) in examples_of.as_object().into_iter().flatten() {
            examples += 1;
            let body: &'static str = value["value"].to_string().leak();
            let acts: &'static [Act] = Box::leak(Box::new([Act::Answer(status_line(name), body)]));
            let api = Api::start(acts).await;
            let error = provider(&api.url())
                .call(&StatsCycle::default())
                .await
                .unwrap_err();
            let ApiError::Refused(refusal) = &error else {
                panic!("{name} {example}: {error}");
            };
            let data = &value["value"]["data"];
            assert_eq!(value["value"]["request_id"], refusal.request_id.as_str());
            assert_eq!(data["error"].as_str(), refusal.error.as_deref());
            assert_eq!(data["error_code"].as_str(), refusal.error_code.as_deref());
            let field = data["field_validation_errors"]["fieldname"].as_str();
            assert_eq!(field, refusal.field.as_ref().map(|(name, _)| name.as_str()));
            let expected = match example.as_str() {
                "permission" => Disposition::Halt,
                "old" => Disposition::Throttle(None),
                _ => Disposition::Bounce,
            };
            assert_eq!(error.disposition(), expected, "{name} {example}");
        }
    }
    assert!(examples >= 3, "only {examples} examples");
}

fn status_line(response: &str) -> &'static str {
    match response {
        "BadRequest" => "400 Bad Request",
        "Unauthorized" => "401 Unauthorized",
        "Forbidden" => "403 Forbidden",
        "TooManyRequests" => "429 Too Many Requests",
        other => panic!("{other} has examples now: say what status it has"),
    }
}

fn provider(api_url: &str) -> Provider {
    let settings = ClientSettings {
        connect_timeout: Duration::from_secs(5),
        ca_file: None,
        proxy: false,
    };
    let account = Account {
        base_url: api_url.to_owned(),
        key: Secret::new(KEY.to_owned()),
    };
    let deadlines = Deadlines {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        upload_rate_min: 1_000_000,
    };
    Provider::new(client(&settings).unwrap(), account, deadlines)
}

/// Without what means nothing, and with one spelling where there are two.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, value)| {
                // An empty text or list of these two says nothing (provider-api 15).
                let empty = *value == json!("") || *value == json!([]);
                let may_be_empty = ["email_id", "failures"].contains(&name.as_str());
                !(value.is_null() || empty && may_be_empty)
            })
            .map(|(name, value)| {
                let name = match name.as_str() {
                    "custom_rate_limit" => "custom_ratelimit".to_owned(),
                    "ip_addres" => "ip_address".to_owned(),
                    _ => name,
                };
                (name, normal(value))
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        other => other,
    }
}

#[test]
fn what_takes_away_is_asked_about_and_only_reading_is_repeated() {
    for operation in operations() {
        let last = operation.path.rsplit('/').next().unwrap();
        if ["remove", "delete", "close", "update"].contains(&last) {
            assert_eq!(operation.effect, Effect::Destroy, "{}", operation.path);
        }
        // These replace what is left out of them.
        let replacing = [
            "users edit",
            "api-keys edit",
            "domain subaccount-access",
            "ip-allow-list set",
        ];
        if replacing.contains(&&*format!("{} {}", operation.group, operation.verb)) {
            assert_eq!(operation.effect, Effect::Destroy, "{}", operation.path);
        }
        if operation.effect == Effect::Read {
            let changing = ["send", "mime", "batch", "add", "edit", "remove"];
            assert!(!changing.contains(&last), "{}", operation.path);
        }
    }
}
