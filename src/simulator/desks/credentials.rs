//! SMTP users, API keys and addresses that need no credential: three kinds of the same record.

use serde_json::{Map, Value, json};

use super::super::account::{SimulatedAccount, object};
use super::super::books::{Books, Shelf};
use super::{Call, Refusal, unknown};
use crate::provider::{Method, read_period};

pub(super) fn serve(account: &mut SimulatedAccount, call: &Call) -> Result<Value, Refusal> {
    if !["", "allowed", "blocked", "sandbox"].contains(&call.text("status")) {
        return Err(Refusal::Member(
            "status",
            "allowed, blocked or sandbox".to_owned(),
        ));
    }
    let subaccount = call.subaccount.as_deref();
    match call.operation.group {
        "users" => users(account.books_named(subaccount), call),
        "api-keys" => keys(account, call),
        _ => ip_auth(account.books_named(subaccount), call),
    }
}

/// A limit that is switched on has a number and a period, whoever of several calls gave them.
fn check_limit(record: &Map<String, Value>) -> Result<(), Refusal> {
    let on = record.get("custom_ratelimit") == Some(&json!(true));
    let value = record
        .get("custom_ratelimit_value")
        .filter(|value| !value.is_null());
    let number = value
        .and_then(Value::as_u64)
        .and_then(|value| usize::try_from(value).ok());
    if (on || value.is_some()) && !number.is_some_and(|value| (1..=RATE_MAX).contains(&value)) {
        let why = format!("1 to {RATE_MAX}");
        return Err(Refusal::Member("custom_ratelimit_value", why));
    }
    let period = record
        .get("custom_ratelimit_period")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let off = ["", "0:00:00", "unlimited"].contains(&period);
    if (on || !off) && read_period(period).is_none() {
        let why = format!("a period such as \"1 hour\", not {period:?}");
        return Err(Refusal::Member("custom_ratelimit_period", why));
    }
    Ok(())
}

/// Roughly: its length times what its alphabets could hold.
fn entropy_bits(password: &str) -> f64 {
    let uses = |of: fn(char) -> bool| password.chars().any(of);
    let mut alphabet = 0.0;
    for (used, size) in [
        (uses(|letter| letter.is_ascii_lowercase()), 26.0),
        (uses(|letter| letter.is_ascii_uppercase()), 26.0),
        (uses(|letter| letter.is_ascii_digit()), 10.0),
        (uses(|letter| !letter.is_ascii_alphanumeric()), 33.0),
    ] {
        alphabet += if used { size } else { 0.0 };
    }
    let length = u32::try_from(password.chars().count()).unwrap_or(u32::MAX);
    f64::from(length) * f64::log2(f64::max(alphabet, 1.0))
}

fn users(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let shelf = &mut books.users;
    let name = call.text("username").to_owned();
    let password = call.text("email_password");
    if !password.is_empty() && entropy_bits(password) < ENTROPY_BITS_MIN {
        let why = format!("too easy to guess: {ENTROPY_BITS_MIN} bits of entropy are needed");
        return Err(Refusal::Member("email_password", why));
    }
    let changed = match call.operation.verb {
        "view" => return Ok(user_results(shelf.view(&name))),
        "add" => {
            if !(5..=100).contains(&name.chars().count()) {
                return Err(Refusal::Member(
                    "username",
                    "5 to 100 characters".to_owned(),
                ));
            }
            if name
                .chars()
                .any(|letter| letter.is_whitespace() || letter.is_control())
            {
                let why = "letters, digits and .-_@".to_owned();
                return Err(Refusal::Member("username", why));
            }
            if shelf.get(&name).is_some() {
                return Err(Refusal::Exception(format!(
                    "The username {name:?} is taken"
                )));
            }
            let mut record = with_defaults(Value::Object(call.request.clone()));
            let password = json!(format!("made-up-{}", uuid::Uuid::now_v7().simple()));
            record.entry("email_password").or_insert(password);
            check_limit(&record)?;
            record
        }
        "remove" => {
            let record = shelf
                .remove(&name)
                .ok_or_else(|| unknown("SMTP user", &name))?;
            return Ok(user_results(vec![Value::Object(record)]));
        }
        _ => edited(shelf, &name, "SMTP user", call)?,
    };
    shelf.put(&name, changed.clone());
    let mut shown = Value::Object(changed);
    Ok(match call.operation.method {
        Method::Patch => {
            // The one answer that does without it (provider-api 9).
            if let Value::Object(members) = &mut shown {
                members.remove("email_password");
            }
            json!([shown])
        }
        _ => user_results(vec![shown]),
    })
}

fn user_results(results: Vec<Value>) -> Value {
    json!({
        "results": results,
        "default_ratelimit_value": 0,
        "default_ratelimit_period": "unlimited",
    })
}

fn keys(account: &mut SimulatedAccount, call: &Call) -> Result<Value, Refusal> {
    if call.operation.verb == "permissions" {
        let own = account
            .key_record(&call.key)
            .and_then(|record| record.get("endpoints"));
        return Ok(own.cloned().unwrap_or_else(|| json!(["*"])));
    }
    // A key hands out only what it may do itself (provider-api 1).
    for endpoint in call.texts("endpoints") {
        if !account.permits(&call.key, &endpoint) {
            let why = format!("{endpoint} is more than the calling key may do");
            return Err(Refusal::Member("endpoints", why));
        }
    }
    let shelf = &mut account.books_named(call.subaccount.as_deref()).keys;
    match call.operation.verb {
        "view" => {
            let (id, search) = (call.text("id"), call.text("search"));
            let fits = |record: &&Map<String, Value>| {
                let member =
                    |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
                (id.is_empty() || id == member("api_key") || id == member("username"))
                    && (search.is_empty() || member("description").contains(search))
            };
            Ok(shelf.records().filter(fits).map(masked).collect())
        }
        "add" => {
            // What names a key are its first letters: the random ones of the two halves.
            let made = uuid::Uuid::now_v7().simple().to_string().to_uppercase();
            let (moment, random) = made.split_at(16);
            let key = format!("api-{random}{moment}");
            let mut record = with_defaults(Value::Object(call.request.clone()));
            record.insert("username".to_owned(), json!(key[..16]));
            record.insert("api_key".to_owned(), json!(key));
            record.entry("endpoints").or_insert(json!(["/email/send"]));
            // Its words are not published.
            record.insert("sending_status".to_owned(), json!("allowed"));
            check_limit(&record)?;
            shelf.put(&key, record.clone());
            // The one time that the whole key is shown.
            Ok(json!([record]))
        }
        "remove" => {
            let id = call.text("id");
            let record = shelf
                .remove(id)
                .ok_or_else(|| unknown("API key", "with this id"))?;
            Ok(json!([masked(&record)]))
        }
        _ => {
            let id = call.text("id").to_owned();
            let mut record = edited(shelf, &id, "API key", call)?;
            record.remove("id");
            shelf.put(&id, record.clone());
            Ok(json!([masked(&record)]))
        }
    }
}

/// Only what names a key is shown again (provider-api 1).
fn masked(record: &Map<String, Value>) -> Value {
    let mut record = record.clone();
    if let Some(Value::String(key)) = record.get_mut("api_key") {
        let name: String = key.chars().take(16).collect();
        *key = format!("{name}{}", "*".repeat(20));
    }
    Value::Object(record)
}

fn ip_auth(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let shelf = &mut books.ip_auth;
    let address = call.text("ip_address").to_owned();
    match call.operation.verb {
        "view" => Ok(user_results(shelf.view(&address))),
        "remove" => {
            let record = shelf
                .remove(&address)
                .ok_or_else(|| unknown("address", &address))?;
            Ok(user_results(vec![Value::Object(record)]))
        }
        // An address is added by signing in from it; here, by being edited.
        _ => {
            if crate::mail::read_network(&address).is_none() {
                let why = "an address or a network".to_owned();
                return Err(Refusal::Member("ip_address", why));
            }
            if shelf.get(&address).is_none() {
                let record = json!({ "ip_address": address });
                shelf.put(&address, with_defaults(record));
            }
            let record = edited(shelf, &address, "address", call)?;
            shelf.put(&address, record.clone());
            Ok(json!([record]))
        }
    }
}

/// PATCH keeps what the request leaves out, POST sets it back (provider-api 9).
fn edited(
    shelf: &Shelf,
    name: &str,
    what: &str,
    call: &Call,
) -> Result<Map<String, Value>, Refusal> {
    let known = shelf.get(name).ok_or_else(|| unknown(what, name))?;
    let mut record = match call.operation.method {
        Method::Patch => known.clone(),
        _ => {
            let named = [
                "username",
                "api_key",
                "email_password",
                "ip_address",
                "endpoints",
                "sending_status",
            ];
            let mut kept = known.clone();
            kept.retain(|member, _| named.contains(&member.as_str()));
            with_defaults(Value::Object(kept))
        }
    };
    for (member, value) in &call.request {
        let member = if member == "ip_pool" {
            "ippool"
        } else {
            member
        };
        record.insert(member.to_owned(), value.clone());
    }
    let allowed = record.get("status") != Some(&json!("blocked"));
    record.insert("sending_allowed".to_owned(), json!(allowed));
    check_limit(&record)?;
    Ok(record)
}

/// What a new record of this kind holds beside what was asked for.
pub(in super::super) fn with_defaults(record: Value) -> Map<String, Value> {
    let mut record = object(record);
    if let Some(pool) = record.remove("ip_pool") {
        record.insert("ippool".to_owned(), pool);
    }
    let allowed = record.get("status") != Some(&json!("blocked"));
    let defaults = json!({
        "sending_allowed": allowed, "custom_ratelimit": false, "custom_ratelimit_value": null,
        "custom_ratelimit_period": "0:00:00", "description": "", "feedback_enabled": false,
        "feedback_html": "", "feedback_text": "", "open_tracking_enabled": false,
        "click_tracking_enabled": false, "archive_enabled": false, "audit_email": null,
        "bounce_notifications": "from", "status": "allowed",
    });
    for (member, value) in object(defaults) {
        record.entry(member).or_insert(value);
    }
    record
}

/// provider-api 9.
const RATE_MAX: usize = 2_147_483_647;
const ENTROPY_BITS_MIN: f64 = 64.0;
