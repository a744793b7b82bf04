//! Who may send, from where, and who gets no mail.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::account::{domain_record, object, suppression};
use super::super::books::Books;
use super::{Call, Refusal, page, stamp, unknown};
use crate::provider::read_date;

pub(super) fn serve(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    match call.operation.group {
        "allowed-senders" => allowed_senders(books, call),
        "allowed-recipients" => Ok(allowed_recipients(books, call)),
        "domain" => domain(books, call),
        "single-senders" => single_senders(books, call),
        "suppression" => suppressions(books, call),
        _ => ip_allow_list(books, call),
    }
}

fn allowed_senders(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let list = &mut books.allowed_senders;
    let mode = call.text("mode");
    if !mode.is_empty() && !["whitelist", "blacklist", "disabled"].contains(&mode) {
        return Err(Refusal::Member(
            "mode",
            "whitelist, blacklist or disabled".to_owned(),
        ));
    }
    change(
        &mut list.list,
        call.operation.verb,
        call.texts("allowed_senders"),
    );
    if call.operation.verb == "update" {
        mode.clone_into(&mut list.mode);
    }
    Ok(json!({ "allowed_senders": list.list, "mode": list.mode }))
}

fn allowed_recipients(books: &mut Books, call: &Call) -> Value {
    let list = &mut books.allowed_recipients;
    change(
        &mut list.list,
        call.operation.verb,
        call.texts("allowed_recipients"),
    );
    if let Some(enabled) = call.flag("enabled") {
        list.enabled = enabled;
    }
    json!({ "allowed_recipients": list.list, "enabled": list.enabled })
}

fn change(list: &mut Vec<String>, verb: &str, entries: Vec<String>) {
    match verb {
        "add" => {
            for entry in entries {
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
        "remove" => list.retain(|entry| !entries.contains(entry)),
        "update" => *list = entries,
        _ => {}
    }
}

fn domain(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let name = call.text("domain").to_lowercase();
    let shelf = &mut books.domains;
    match call.operation.verb {
        "view" => {}
        "add" if shelf.get(&name).is_some() => {
            return Err(Refusal::Exception(format!(
                "The domain {name:?} is there already"
            )));
        }
        "add" => {
            let plain = |letter: char| letter.is_alphanumeric() || ".-_".contains(letter);
            if !name.contains('.') || !name.chars().all(plain) {
                return Err(Refusal::Member("domain", "a domain".to_owned()));
            }
            let mut record = domain_record(&name, false);
            rename_tracker(&mut record, &name, "link", call.text("tracking_subdomain"));
            if !call.text("returnpath_subdomain").is_empty() {
                record["domain"]["rpath_selector"] = json!(call.text("returnpath_subdomain"));
            }
            shelf.put(&name, record);
        }
        "remove" => {
            let record = shelf
                .remove(&name)
                .ok_or_else(|| unknown("domain", &name))?;
            return Ok(json!({ "domains": [record] }));
        }
        verb => {
            let record = shelf
                .get_mut(&name)
                .ok_or_else(|| unknown("domain", &name))?;
            match verb {
                // There is no DNS here: whoever asks gets it verified.
                "verify" => {
                    for (verified, status) in [
                        ("dkim_verified", "dkim_status"),
                        ("rpath_verified", "rpath_status"),
                    ] {
                        record["domain"][verified] = json!(true);
                        record["domain"][status] = json!("");
                    }
                    for tracker in record["trackers"].as_array_mut().into_iter().flatten() {
                        tracker["cname_verified"] = json!(true);
                        tracker["cname_status"] = json!("");
                    }
                }
                "tracking" => {
                    let (old, new) = (call.text("old_subdomain"), call.text("new_subdomain"));
                    if !rename_tracker(record, &name, old, new) {
                        return Err(unknown("tracking subdomain", old));
                    }
                }
                "returnpath" => {
                    let old = call.text("old_subdomain");
                    if record["domain"]["rpath_selector"] != old {
                        return Err(unknown("return-path subdomain", old));
                    }
                    record["domain"]["rpath_selector"] = json!(call.text("new_subdomain"));
                }
                _ => {
                    let access = json!({
                        "subaccounts": call.texts("subaccounts"),
                        "future_subaccounts": call.flag("future_subaccounts").unwrap_or(false),
                    });
                    record.insert("subaccount_access".to_owned(), access.clone());
                    let mut answer = object(access);
                    answer.insert("domain".to_owned(), json!(name));
                    return Ok(Value::Object(answer));
                }
            }
        }
    }
    Ok(json!({ "domains": shelf.view(&name) }))
}

/// Whether there was one of that name.
fn rename_tracker(record: &mut Map<String, Value>, domain: &str, old: &str, new: &str) -> bool {
    let mut found = false;
    for tracker in record["trackers"].as_array_mut().into_iter().flatten() {
        if tracker["subdomain"] == old && !new.is_empty() {
            tracker["subdomain"] = json!(new);
            tracker["fulldomain"] = json!(format!("{new}.{domain}"));
            found = true;
        }
    }
    found
}

fn single_senders(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let address = call.text("email_address").to_lowercase();
    let shelf = &mut books.single_senders;
    match call.operation.verb {
        "view" => Ok(json!({ "senders": shelf.view(&address) })),
        "add" if crate::mail::Mailbox::parse(&address).is_err() => {
            Err(Refusal::Member("email_address", "an address".to_owned()))
        }
        "add" => {
            // Nobody can follow the link in the mail here: it counts as followed.
            let record = json!({ "email_address": address, "verified": true });
            shelf.put(&address, object(record));
            Ok(json!({ "just_returns_this": "ok" }))
        }
        _ => match shelf.remove(&address) {
            Some(_) => Ok(json!({ "just_returns_this": "ok" })),
            None => Err(unknown("sender", &address)),
        },
    }
}

fn suppressions(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let address = call.text("email_address").to_lowercase();
    let shelf = &mut books.suppressions;
    match call.operation.verb {
        "add" => {
            let why = call.text("block_description");
            let named = address.rsplit('@').next().unwrap_or_default();
            let is_domain = named.contains('.') && !named.contains(char::is_whitespace);
            if !is_domain || address.starts_with('@') {
                let why = "an address or a domain".to_owned();
                return Err(Refusal::Member("email_address", why));
            }
            let added = shelf.get(&address).is_none();
            shelf.put(
                &address,
                suppression(&address, "manual", why, &call.stamp()),
            );
            Ok(json!({ "added": added, "block_description": why, "email_address": address }))
        }
        "remove" => {
            let known = shelf
                .get(&address)
                .and_then(|record| record.get("reason"))
                .cloned();
            let result = |reason: String| {
                let removed = known.as_ref().is_some_and(|known| *known == json!(reason));
                json!({ "email_address": address, "reason": reason, "removed": removed })
            };
            let results: Vec<Value> = call.texts("reasons").into_iter().map(result).collect();
            if results.iter().any(|result| result["removed"] == true) {
                shelf.remove(&address);
            }
            Ok(json!({ "suppressions": results }))
        }
        _ => {
            let wildcard = call.text("wildcard").to_lowercase();
            let mut kinds = [call.texts("suppression_types"), call.texts("reasons")].concat();
            let one = [call.text("suppression_type"), call.text("reason")];
            kinds.extend(
                one.iter()
                    .filter(|kind| !kind.is_empty())
                    .map(|kind| (*kind).to_owned()),
            );
            let mut addresses = call.texts("recipients");
            addresses.extend([address.clone(), call.text("recipient").to_owned()]);
            addresses.retain(|address| !address.is_empty());
            // Without a date only the last 30 days are shown (provider-api 14).
            let start = read_date(call.text("start_date"));
            let start = stamp(start.unwrap_or(call.at.before(SHOWN_BY_DEFAULT)));
            let end = read_date(call.text("end_date")).map(stamp);
            let fits = |record: &&Map<String, Value>| {
                let member =
                    |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
                let at = member("timestamp");
                let named = |name: &String| name.to_lowercase() == member("email_address");
                (addresses.is_empty() || addresses.iter().any(named))
                    && at >= start.as_str()
                    && end.as_deref().is_none_or(|end| at < end)
                    && (wildcard.is_empty() || member("email_address").contains(&wildcard))
                    && (kinds.is_empty() || kinds.iter().any(|kind| kind == member("reason")))
            };
            let found: Vec<&Map<String, Value>> = shelf.records().filter(fits).collect();
            let total = found.len();
            let (results, token) = page(found, call, SUPPRESSIONS_PER_PAGE);
            Ok(json!({ "results": results, "continue_token": token, "total_results": total }))
        }
    }
}

fn ip_allow_list(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let list = match call.text("type") {
        "" | "smtp" => &mut books.ip_allow_smtp,
        "api" => &mut books.ip_allow_api,
        _ => return Err(Refusal::Member("type", "smtp or api".to_owned())),
    };
    let address = call.text("ip_address").to_owned();
    let record = |address: &str, description: &str| {
        object(json!({ "ip_address": address, "description": description }))
    };
    match call.operation.verb {
        "set" => {
            list.enabled = call.flag("enabled").unwrap_or(list.enabled);
            Ok(json!({ "enabled": list.enabled }))
        }
        "view" => Ok(json!({ "enabled": list.enabled, "ip_addresses": list.addresses.view("") })),
        "add" => {
            if address.parse::<ipnet::IpNet>().is_err()
                && address.parse::<std::net::IpAddr>().is_err()
            {
                return Err(Refusal::Member(
                    "ip_address",
                    "an address or a network".to_owned(),
                ));
            }
            let record = record(&address, call.text("description"));
            list.addresses.put(&address, record.clone());
            Ok(Value::Object(record))
        }
        verb => {
            let known = list
                .addresses
                .remove(&address)
                .ok_or_else(|| unknown("address", &address))?;
            if verb == "remove" {
                return Ok(Value::Object(known));
            }
            let fresh = match call.text("new_ip_address") {
                "" => address.as_str(),
                fresh => fresh,
            };
            let description = match call.text("description") {
                "" => known["description"].as_str().unwrap_or_default(),
                description => description,
            };
            let record = record(fresh, description);
            list.addresses.put(fresh, record.clone());
            Ok(Value::Object(record))
        }
    }
}

const SUPPRESSIONS_PER_PAGE: usize = 1000;
const SHOWN_BY_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
