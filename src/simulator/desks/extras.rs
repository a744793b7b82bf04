//! Templates, webhooks, subaccounts, short messages and the account's own addresses.

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::account::object;
use super::super::books::Books;
use super::{Call, Refusal, page, unknown};

pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    let mut account = world.account();
    let books = &mut account.books;
    match call.operation.group {
        "template" => template(books, call),
        "webhook" => webhook(books, call),
        "subaccount" => subaccount(books, call),
        "sms" => sms(books, call),
        // The sample account has none of its own.
        _ => Ok(json!([])),
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
    match call.operation.verb {
        "view" => Ok(json!(books.webhooks.view(""))),
        "add" => {
            let id = books.next_number();
            let mut record = call.request.clone();
            let defaults = json!({
                "id": id, "events": [], "sms_events": [], "headers": [], "usernames": [],
                "output_format": "form", "auth_header_type": "", "auth_header_value": "",
            });
            for (member, value) in object(defaults) {
                record.entry(member).or_insert(value);
            }
            let url = record["url"].as_str().unwrap_or_default();
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(Refusal::Member("url", "http:// or https://".to_owned()));
            }
            books.webhooks.put(&id.to_string(), record.clone());
            Ok(Value::Object(record))
        }
        "edit" => {
            let record = books
                .webhooks
                .get_mut(&number)
                .ok_or_else(|| unknown("webhook", &number))?;
            record.extend(call.request.clone());
            Ok(Value::Object(record.clone()))
        }
        _ => match books.webhooks.remove(&number) {
            Some(record) => Ok(Value::Object(record)),
            None => Err(unknown("webhook", &number)),
        },
    }
}

fn subaccount(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let id = call.text("id").to_owned();
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
                .cloned()
                .map(Value::Object)
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
                "sms_limit": call.number("sms_limit").unwrap_or(0),
            }));
            books.subaccounts.put(&id, record.clone());
            Ok(Value::Object(record))
        }
        "usage" | "sms-usage" => Ok(json!({ "used": 0 })),
        "reinvite" => Ok(json!("Invitation sent")),
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
                    ] {
                        if let Some(value) = call.request.get(from) {
                            record.insert(to.to_owned(), value.clone());
                        }
                    }
                    Ok(Value::Object(record.clone()))
                }
            }
        }
    }
}

fn sms(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    match call.operation.verb {
        "send" => {
            let numbers = call.texts("destination");
            if numbers.len() > SMS_NUMBERS_MAX {
                return Err(Refusal::Member(
                    "destination",
                    "at most 100 numbers".to_owned(),
                ));
            }
            let mut messages = Vec::new();
            for number in &numbers {
                let id = uuid::Uuid::now_v7().to_string();
                let sent = json!({
                    "message_id": id, "destination": number, "sender": call.text("sender"),
                    "content": call.text("content"), "status": "delivered", "sent": call.at.to_string(),
                });
                books.sms.push(object(sent));
                messages
                    .push(json!({ "destination": number, "message_id": id, "status": "queued" }));
            }
            Ok(json!({
                "statuses": { "queued": numbers.len() }, "total_sent": numbers.len(), "messages": messages,
            }))
        }
        "view-sent" => Ok(json!({ "messages": books.sms })),
        "view-received" => Ok(json!({ "messages": [] })),
        _ => Ok(json!({
            "total_messages": books.sms.len(), "total_units": books.sms.len(), "total_cost": 0,
        })),
    }
}

const SMS_NUMBERS_MAX: usize = 100;
