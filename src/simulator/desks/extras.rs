//! Templates, webhooks, subaccounts and the account's own addresses.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::account::object;
use super::super::books::Books;
use super::{Call, Refusal, counts, page, unknown};

pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    if call.operation.group == "subaccount" {
        return subaccount(world, call);
    }
    let mut account = world.account();
    let books = account.books_named(call.subaccount.as_deref());
    match call.operation.group {
        "template" => template(books, call),
        "webhook" => webhook(books, call),
        _ => Ok(json!(books.dedicated_ips)),
    }
}

fn template(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let id = call.text("id").to_owned();
    let shelf = &mut books.templates;
    match call.operation.verb {
        "add" => {
            if shelf.get(&id).is_some() {
                return Err(Refusal::Exception(format!(
                    "The template {id:?} is there already"
                )));
            }
            let record = stamped(call.request.clone(), call);
            shelf.put(&id, record.clone());
            Ok(Value::Object(record))
        }
        "edit" => {
            let mut record = shelf.remove(&id).ok_or_else(|| unknown("template", &id))?;
            record.extend(call.request.clone());
            let fresh = match record.remove("new_id") {
                Some(Value::String(fresh)) => fresh,
                _ => id,
            };
            record.insert("id".to_owned(), json!(fresh));
            let record = stamped(record, call);
            shelf.put(&fresh, record.clone());
            Ok(Value::Object(record))
        }
        "delete" => match shelf.remove(&id) {
            Some(_) => Ok(json!("Template deleted")),
            None => Err(unknown("template", &id)),
        },
        "view" => match shelf.get(&id) {
            Some(record) => Ok(Value::Object(renamed(record))),
            None => Err(unknown("template", &id)),
        },
        _ => {
            let (terms, tags) = (call.texts("search_terms"), call.texts("tags"));
            let fits = |record: &&Map<String, Value>| {
                let text = Value::Object((*record).clone()).to_string().to_lowercase();
                let tagged = |tag: &String| {
                    record["tags"]
                        .as_array()
                        .is_some_and(|known| known.contains(&json!(tag)))
                };
                terms.iter().all(|term| text.contains(&term.to_lowercase()))
                    && tags.iter().all(tagged)
            };
            let found: Vec<Value> = shelf
                .records()
                .filter(fits)
                .map(renamed)
                .map(Value::Object)
                .collect();
            let total = found.len();
            let (templates, token) = page(found, call, call.number("page_size").unwrap_or(100));
            Ok(json!({ "templates": templates, "continue_token": token, "total_count": total }))
        }
    }
}

fn stamped(mut record: Map<String, Value>, call: &Call) -> Map<String, Value> {
    record.insert("last_updated".to_owned(), json!(call.stamp()));
    record.entry("tags").or_insert(json!([]));
    record.entry("template_variables").or_insert(json!({}));
    record
}

/// Looking at a template spells its name otherwise than making one (openapi `Template`).
fn renamed(record: &Map<String, Value>) -> Map<String, Value> {
    let mut record = record.clone();
    if let Some(name) = record.remove("template_name") {
        record.insert("name".to_owned(), name);
    }
    record
}

fn webhook(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let number = call
        .number("id")
        .map(|id| id.to_string())
        .unwrap_or_default();
    let url = call.request.get("url").and_then(Value::as_str);
    if url.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(Refusal::Member("url", "http:// or https://".to_owned()));
    }
    match call.operation.verb {
        "view" => Ok(json!(books.webhooks.view(""))),
        "add" => {
            let id = books.next_number();
            let mut record = call.request.clone();
            let defaults = json!({
                "id": id, "events": [], "sms_events": [], "headers": [], "usernames": [],
                "output_format": "form", "auth_header_type": "", "auth_header_value": "", "disabled": false,
            });
            for (member, value) in object(defaults) {
                record.entry(member).or_insert(value);
            }
            books.webhooks.put(&id.to_string(), record.clone());
            Ok(Value::Object(record))
        }
        "edit" => {
            let record = books
                .webhooks
                .get_mut(&number)
                .ok_or_else(|| unknown("webhook", &number))?;
            let mut changes = call.request.clone();
            // What names it is a number, however it was spelt.
            changes.remove("id");
            record.extend(changes);
            Ok(Value::Object(record.clone()))
        }
        _ => match books.webhooks.remove(&number) {
            Some(record) => Ok(Value::Object(record)),
            None => Err(unknown("webhook", &number)),
        },
    }
}

fn subaccount(world: &World, call: &Call) -> Result<Value, Refusal> {
    let id = match call.text("id") {
        "" => call.text("subaccount_id").to_owned(),
        id => id.to_owned(),
    };
    if call.subaccount.is_some() {
        let words = "A subaccount has none of its own";
        return Err(Refusal::Exception(words.to_owned()));
    }
    for limit in ["limit", "sms_limit"] {
        let given = call.request.get(limit).and_then(Value::as_i64);
        if given.is_some_and(|given| given < 0) {
            return Err(Refusal::Exception(format!("{limit} can't be below 0")));
        }
    }
    let used = counts::used_below(world);
    let mut account = world.account();
    let short_messages = match account.subaccounts.get(&id) {
        Some(books) => books.sms.len(),
        None if id.is_empty() => account
            .subaccounts
            .values()
            .map(|books| books.sms.len())
            .sum(),
        None => 0,
    };
    let books = &mut account.books;
    match call.operation.verb {
        "search" => {
            let terms = call.texts("search_terms");
            let state = call.text("states").to_owned();
            let fits = |record: &&Map<String, Value>| {
                let text = Value::Object((*record).clone()).to_string().to_lowercase();
                let is = record["state"].as_str().unwrap_or_default().to_lowercase();
                terms.iter().all(|term| text.contains(&term.to_lowercase()))
                    && (state.is_empty() || state == "all" || state == is)
            };
            let found: Vec<Value> = books
                .subaccounts
                .records()
                .filter(fits)
                .map(|record| with_usage(record, &used))
                .collect();
            let total = found.len();
            let (subaccounts, token) = page(found, call, call.number("page_size").unwrap_or(100));
            Ok(json!({ "subaccounts": subaccounts, "continue_token": token, "total_count": total }))
        }
        "add" => {
            let id = format!("sub{:03}", books.next_number());
            let limit = call.number("limit").unwrap_or(1000);
            let record = object(json!({
                "id": id, "name": call.text("fullname"), "email": call.text("subaccount_email"),
                "plan_size": limit, "plan_used": 0, "plan_remaining": limit, "state": "Active",
                "dedicated_ip": call.flag("dedicated_ip").unwrap_or(false),
                "archiving": call.flag("archiving").unwrap_or(false),
                "enforce_2fa": call.flag("enforce_2fa").unwrap_or(false),
                "sms_enabled": call.flag("enable_sms").unwrap_or(false),
                "sms_limit": call.number("sms_limit").unwrap_or(1000), "ip_pool": call.number("ip_pool"),
            }));
            books.subaccounts.put(&id, record.clone());
            Ok(Value::Object(record))
        }
        "usage" => Ok(json!({ "used": used.values().sum::<usize>() })),
        "sms-usage" if !id.is_empty() && books.subaccounts.get(&id).is_none() => {
            Err(unknown("subaccount", &id))
        }
        "sms-usage" => Ok(json!({ "used": short_messages })),
        "reinvite" => {
            let address = call.text("email").to_lowercase();
            let mut records = books.subaccounts.records();
            let invited = |record: &Map<String, Value>| {
                let email = record["email"].as_str().unwrap_or_default();
                !address.is_empty() && email.eq_ignore_ascii_case(&address)
            };
            if records.any(invited) {
                Ok(json!("Invitation sent"))
            } else {
                Err(unknown("subaccount", &address))
            }
        }
        verb => {
            let record = books
                .subaccounts
                .get_mut(&id)
                .ok_or_else(|| unknown("subaccount", &id))?;
            match verb {
                "close" => {
                    record.insert("state".to_owned(), json!("Closed"));
                    Ok(json!("Subaccount closed"))
                }
                "reopen" => {
                    record.insert("state".to_owned(), json!("Active"));
                    Ok(json!("Subaccount reopened"))
                }
                _ => {
                    for (from, to) in [
                        ("fullname", "name"),
                        ("limit", "plan_size"),
                        ("dedicated_ip", "dedicated_ip"),
                        ("archiving", "archiving"),
                        ("enforce_2fa", "enforce_2fa"),
                        ("enable_sms", "sms_enabled"),
                        ("sms_limit", "sms_limit"),
                        ("ip_pool", "ip_pool"),
                    ] {
                        if let Some(value) = call.request.get(from) {
                            record.insert(to.to_owned(), value.clone());
                        }
                    }
                    Ok(with_usage(record, &used))
                }
            }
        }
    }
}

/// What was sent is counted, not kept.
fn with_usage(record: &Map<String, Value>, used: &BTreeMap<String, usize>) -> Value {
    let mut record = record.clone();
    let id = record["id"].as_str().unwrap_or_default();
    let used = used.get(id).copied().unwrap_or(0);
    let size = record["plan_size"].as_u64().unwrap_or(0);
    let left = size.saturating_sub(used as u64);
    record.insert("plan_used".to_owned(), json!(used));
    record.insert("plan_remaining".to_owned(), json!(left));
    Value::Object(record)
}
