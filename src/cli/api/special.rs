//! What some operations need beyond the catalogue.

use serde_json::Value;

use crate::http::{ClientSettings, client};
use crate::provider::{Operation, sms_segments};

use super::super::failure::Failure;
use super::super::terminal::{note, say};
use super::arguments::Options;

/// Hides what is as good as a key, though its name doesn't say so: the address of an archived mail, and the headers
/// that a webhook is known by.
pub(super) fn hide(operation: &Operation, data: &mut Value) {
    match operation.group {
        "archive" => hide_members(data, "url"),
        "webhook" => hide_members(data, "custom_headers"),
        _ => {}
    }
}

fn hide_members(data: &mut Value, secret: &str) {
    match data {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_members(item, secret)),
        Value::Object(members) => {
            for (name, value) in members {
                if name == secret && !value.is_null() {
                    *value = Value::String("********".to_owned());
                } else {
                    hide_members(value, secret);
                }
            }
        }
        _ => {}
    }
}

/// Before anything is sent.
pub(super) fn check(
    operation: &Operation,
    request: &Value,
    options: &Options,
) -> Result<(), Failure> {
    match operation.path {
        "/sms/send" => sms(request),
        "/api_keys/add" if !options.show_secrets && !options.dry_run => {
            let words = "the answer holds the new key, and it is never shown again";
            Err(Failure::new(words).hint("add --show-secrets"))
        }
        "/users/smtp/add"
            if request["email_password"].is_null() && !options.show_secrets && !options.dry_run =>
        {
            let words = "the answer holds the password that the provider makes up";
            Err(Failure::new(words).hint("add --show-secrets, or choose one with --email_password"))
        }
        _ => Ok(()),
    }
}

fn sms(request: &Value) -> Result<(), Failure> {
    let numbers = request["destination"].as_array().map_or(0, Vec::len);
    if numbers > SMS_NUMBERS_MAX {
        let words = format!("{numbers} numbers, the provider takes {SMS_NUMBERS_MAX} a call");
        return Err(Failure::new(words).hint("send to the rest in further calls"));
    }
    let segments = sms_segments(request["content"].as_str().unwrap_or_default());
    note(&format!(
        "{} to {}: {}\n",
        counted(segments, "segment"),
        counted(numbers, "number"),
        counted(segments * numbers, "unit")
    ));
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A refused mail is an answer like any other to the API, and a failure to whoever typed the command.
pub(super) fn verdict(operation: &Operation, data: &Value) -> Result<(), Failure> {
    if !["/email/send", "/email/mime", "/email/batch"].contains(&operation.path) {
        return Ok(());
    }
    let refused = |answer: &Value| {
        let counted = answer["failed"].as_u64().is_some_and(|failed| failed > 0);
        counted || (answer["email_id"] == "" && answer["schedule_id"].is_null())
    };
    let answers = data
        .as_array()
        .map_or(std::slice::from_ref(data), Vec::as_slice);
    let count = answers.iter().filter(|answer| refused(answer)).count();
    if count == 0 {
        return Ok(());
    }
    let why = data["failures"][0].as_str().unwrap_or_default();
    let words = match answers.len() {
        1 => format!("the mail was refused: {why}"),
        all => {
            let numbers = (1..).zip(answers).filter(|(_, answer)| refused(answer));
            let numbers: Vec<String> = numbers.map(|(number, _)| number.to_string()).collect();
            format!(
                "{count} of {all} mails were refused: number {}",
                numbers.join(", ")
            )
        }
    };
    Err(Failure::new(words.trim_end_matches([':', ' '])).hint(
        "see `api domain view`, `api single-senders view` and `api allowed-senders view` for who may send",
    ))
}

/// After the answer; `true` where it has been printed already.
pub(super) async fn answered(
    operation: &Operation,
    data: &Value,
    options: &Options,
) -> Result<bool, Failure> {
    match operation.path {
        "/domain/verify" => {
            let missing = zone(data);
            if missing.is_empty() {
                note("all DNS records are in place\n");
            } else {
                let words = "DNS records still missing, as lines of a zone file:";
                note(&format!("{words}\n\n{missing}\n"));
            }
            Ok(false)
        }
        "/archive/email" => save(data, options).await.map(|()| true),
        _ => Ok(false),
    }
}

/// The records that are not verified.
fn zone(data: &Value) -> String {
    let mut lines = String::new();
    let mut record = |owner: &str, target: &Value| {
        // Names and nothing else: a line break would be a record of its own.
        let is_name = |name: &str| {
            let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
            !name.is_empty() && name.bytes().all(fits)
        };
        if let Some(target) = target
            .as_str()
            .filter(|target| is_name(target) && is_name(owner))
        {
            let dot = |name: &str| format!("{}.", name.trim_end_matches('.'));
            lines.push_str(&format!(
                "{}\t3600\tIN\tCNAME\t{}\n",
                dot(owner),
                dot(target)
            ));
        }
    };
    for entry in data["domains"].as_array().into_iter().flatten() {
        let domain = &entry["domain"];
        let name = domain["fulldomain"].as_str().unwrap_or_default();
        let selector = |member: &str| domain[member].as_str().unwrap_or_default();
        if domain["dkim_verified"] != true {
            record(
                &format!("{}._domainkey.{name}", selector("dkim_selector")),
                &domain["dkim_value"],
            );
        }
        if domain["rpath_verified"] != true {
            record(
                &format!("{}.{name}", selector("rpath_selector")),
                &domain["rpath_value"],
            );
        }
        for tracker in entry["trackers"].as_array().into_iter().flatten() {
            if tracker["enabled"] == true && tracker["cname_verified"] != true {
                record(
                    tracker["fulldomain"].as_str().unwrap_or_default(),
                    &tracker["cname_value"],
                );
            }
        }
    }
    lines
}

async fn save(data: &Value, options: &Options) -> Result<(), Failure> {
    let Some(url) = data["url"].as_str().filter(|url| !url.is_empty()) else {
        return Err(Failure::new(
            "the answer names no address to download the mail from",
        ));
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| Failure::of(&error))?;
    let local = ["127.0.0.1", "[::1]", "localhost"];
    if parsed.scheme() != "https" && !parsed.host_str().is_some_and(|host| local.contains(&host)) {
        let words = "the mail would be downloaded in clear: not done";
        return Err(Failure::new(words));
    }
    let settings = ClientSettings {
        connect_timeout: std::time::Duration::from_secs(10),
        ca_file: None,
        proxy: url.starts_with("https://"),
    };
    let client = client(&settings).map_err(|error| Failure::of(&error))?;
    // The address is as good as a key to the mail: it does not belong into an error.
    let broken = |error: reqwest::Error| Failure::of(&error.without_url());
    let answer = client.get(parsed).timeout(DOWNLOAD_MAX).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(broken)?;
    let mut mail = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        mail.extend_from_slice(&chunk);
        if mail.len() > MAIL_OCTETS_MAX {
            let words = format!("the mail is larger than {MAIL_OCTETS_MAX} octets: not saved");
            return Err(Failure::new(words));
        }
    }
    let id = data["email_id"].as_str().unwrap_or("mail");
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let name: String = id.chars().filter(|character| plain(*character)).collect();
    let path = options
        .out
        .clone()
        .unwrap_or_else(|| format!("{name}.eml").into());
    let mut file = std::fs::File::create_new(&path).map_err(|error| {
        Failure::new(format!("cannot create {}: {error}", path.display()))
            .hint("choose another --out")
    })?;
    std::io::Write::write_all(&mut file, &mail).map_err(|error| Failure::of(&error))?;
    say(&format!("{}\n", path.display()))
}

/// More than the provider takes (provider-api 5), and what it adds.
const MAIL_OCTETS_MAX: usize = 100_000_000;
const DOWNLOAD_MAX: std::time::Duration = std::time::Duration::from_secs(600);
const SMS_NUMBERS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_missing_records_become_lines_of_a_zone() {
        let data = json!({"domains": [{
            "domain": {"fulldomain": "shop.example", "dkim_selector": "s1", "dkim_value": "dkim.example.net",
                "dkim_verified": false, "rpath_selector": "em1", "rpath_value": "return.example.net",
                "rpath_verified": true},
            "trackers": [{"fulldomain": "link.shop.example", "cname_value": "track.example.net",
                "cname_verified": false, "enabled": true}],
        }]});
        assert_eq!(
            zone(&data),
            "s1._domainkey.shop.example.\t3600\tIN\tCNAME\tdkim.example.net.\n\
             link.shop.example.\t3600\tIN\tCNAME\ttrack.example.net.\n"
        );
    }
}
