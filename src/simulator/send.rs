//! `/email/*`: mail is accepted or refused as the provider's internal SMTP submission would, now or at its time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::mail::Mailbox;
use crate::message::{Head, HeadCollector, HeaderView, read_addresses};
use crate::provider::read_date;

use super::World;
use super::account::object;
use super::desks::{Call, Refusal, header_of, page, unknown, used_below, within};
use super::happenings::{Happening, HappeningKind};
use super::limits::sending_limit;
use super::mailroom::Delivery;

/// Answers a call of this group.
pub(super) fn serve(world: &World, call: &Call) -> Result<Value, Refusal> {
    match call.operation.path {
        "/email/mime" => {
            let raw = STANDARD
                .decode(call.text("mime_email"))
                .map_err(|error| Refusal::Member("mime_email", format!("not base64: {error}")))?;
            take(world, call, &call.request, Bytes::from(raw))
        }
        "/email/send" => {
            let raw = compose(world, call, &call.request)?;
            take(world, call, &call.request, raw)
        }
        "/email/batch" => {
            let mails = call.request.get("emails").and_then(Value::as_array);
            let mails: Vec<Map<String, Value>> =
                mails.into_iter().flatten().cloned().map(object).collect();
            if mails.len() > BATCH_MAX {
                return Err(Refusal::Member("emails", format!("at most {BATCH_MAX}")));
            }
            // All are looked at before the first is sent: a refused batch may be sent again whole.
            let composed: Vec<(&Map<String, Value>, Bytes)> = mails
                .iter()
                .map(|mail| {
                    schedule(mail, call.at)?;
                    Ok((mail, compose(world, call, mail)?))
                })
                .collect::<Result<_, Refusal>>()?;
            within_limits(world, call, composed.len())?;
            let mut answers = Vec::new();
            for (mail, raw) in composed {
                let answer = take_admitted(world, call, mail, raw)?;
                answers.push(match answer.get("schedule_id") {
                    Some(id) => json!({ "schedule_id": id }),
                    None => json!({ "email_id": answer["email_id"] }),
                });
            }
            Ok(Value::Array(answers))
        }
        "/email/scheduled/search" => Ok(scheduled(world, call)),
        "/email/scheduled/remove" => {
            let id = call.text("schedule_id");
            let mut account = world.account();
            match account
                .books_named(call.subaccount.as_deref())
                .scheduled
                .remove(id)
            {
                Some(_) => Ok(json!({ "schedule_id": id })),
                None => Err(unknown("scheduled mail", id)),
            }
        }
        _ => search(world, call),
    }
}

/// Sends what is due; called when the clock says so.
pub(super) fn send_due(world: &World, now: Timestamp) {
    loop {
        let due = {
            let account = world.account();
            // What a closed account scheduled stays until it is opened again.
            let below = account
                .subaccounts
                .iter()
                .filter(|(id, _)| account.is_active(id))
                .map(|(id, books)| (Some(id), books));
            let mut records = [(None, &account.books)].into_iter().chain(below).flat_map(
                |(subaccount, books)| {
                    let records = books.scheduled.records();
                    records.map(move |record| (subaccount.cloned(), record))
                },
            );
            let is_due = |(_, record): &(Option<String>, &Map<String, Value>)| {
                record
                    .get("due_ms")
                    .and_then(Value::as_i64)
                    .is_some_and(|due| due <= now.0)
            };
            let due = records.find(is_due);
            due.map(|(subaccount, record)| (subaccount, record.clone()))
        };
        let Some((subaccount, record)) = due else {
            return;
        };
        let text = |member: &str| {
            record
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let id = text("schedule_id").to_owned();
        let mail = Mail {
            endpoint: match text("endpoint") {
                "/email/mime" => "/email/mime",
                _ => "/email/send",
            },
            username: text("username").to_owned(),
            sandboxed: record.get("sandbox") == Some(&json!(true)),
            subaccount: subaccount.clone(),
            audit: audit_address(&record),
            schedule_id: Some(id.clone()),
            fast: false,
            raw: Bytes::from(
                // As the sent mail shows it (provider-api 6).
                [
                    format!("X-Smtp2go-Schedule-Id: {id}\r\n").as_bytes(),
                    &with_crlf(Bytes::from(
                        STANDARD.decode(text("mime")).unwrap_or_default(),
                    )),
                ]
                .concat(),
            ),
        };
        // The delivery carries the schedule's name: a kill in between sends nothing twice.
        match submit(world, mail) {
            Ok(answer) if answer["failed"] == 1 => {
                let why = &answer["failures"][0];
                tracing::warn!(id, %why, "a scheduled mail was refused at its time");
            }
            Ok(_) => {}
            Err(_) => tracing::warn!(id, "a scheduled mail can't be read"),
        }
        {
            let mut account = world.account();
            let books = account.books_named(subaccount.as_deref());
            books.scheduled.remove(&id);
        }
        world.note_account();
    }
}

/// A message on its way in.
struct Mail {
    endpoint: &'static str,
    username: String,
    sandboxed: bool,
    subaccount: Option<String>,
    /// Who gets a blind copy for the account's records.
    audit: Option<String>,
    schedule_id: Option<String>,
    /// Whoever sent it is told its name and nothing else (provider-api 6).
    fast: bool,
    raw: Bytes,
}

/// Now, or at its time.
fn take(
    world: &World,
    call: &Call,
    request: &Map<String, Value>,
    raw: Bytes,
) -> Result<Value, Refusal> {
    within_limits(world, call, 1)?;
    take_admitted(world, call, request, raw)
}

/// Whether so many more mails may be sent: by the key's own limit, and by the plan of an account below the main one.
fn within_limits(world: &World, call: &Call, mails: usize) -> Result<(), Refusal> {
    let username: String = call.key.chars().take(16).collect();
    let record = world.account().key_record(&call.key).cloned();
    if let Some((most, period)) = sending_limit(&record.unwrap_or_default()) {
        let mut account = world.account();
        let books = account.books_named(call.subaccount.as_deref());
        let of_key = |mail: &&Map<String, Value>| mail.get("username") == Some(&json!(username));
        let waiting = books.scheduled.records().filter(of_key).count();
        drop(account);
        let sent = world.mailroom().count_of(&username, call.at.before(period));
        if sent + waiting + mails > most {
            return Err(Refusal::Throttled("API key ratelimit exceeded"));
        }
    }
    if let Some(id) = &call.subaccount {
        let used = used_below(world).get(id).copied().unwrap_or(0);
        let account = world.account();
        let record = account.books.subaccounts.get(id);
        let size = record.and_then(|record| record["plan_size"].as_u64());
        let size = size.and_then(|size| usize::try_from(size).ok());
        if size.is_some_and(|size| used + mails > size) {
            return Err(Refusal::Quota(
                "The monthly quota of this account is used up",
            ));
        }
    }
    Ok(())
}

fn take_admitted(
    world: &World,
    call: &Call,
    request: &Map<String, Value>,
    raw: Bytes,
) -> Result<Value, Refusal> {
    let username: String = call.key.chars().take(16).collect();
    let (sandboxed, record) = {
        let account = world.account();
        let sandboxed = account.key_status(&call.key).as_deref() == Some("sandbox");
        let record = account.key_record(&call.key).cloned();
        (sandboxed, record.unwrap_or_default())
    };
    let audit = audit_address(&record);
    let Some(due) = schedule(request, call.at)? else {
        let mail = Mail {
            endpoint: call.operation.path,
            username,
            sandboxed,
            subaccount: call.subaccount.clone(),
            audit,
            schedule_id: None,
            fast: request.get("fastaccept") == Some(&json!(true)),
            raw,
        };
        return submit(world, mail);
    };
    let id = uuid::Uuid::now_v7().to_string();
    // A message that is sent as it is says these things itself.
    let header = |name: &str, field: &str| match request.get(name) {
        Some(value) => value.clone(),
        None => json!(header_of(with_crlf(raw.clone()), field)),
    };
    let record = json!({
        "schedule_id": id, "schedule": due.to_string(), "due_ms": due.0,
        "sender": header("sender", "From"), "subject": header("subject", "Subject"),
        "recipients": header("to", "To"), "client_ip": "127.0.0.1",
        "username": username, "sandbox": sandboxed, "audit_email": audit,
        "mime": STANDARD.encode(&raw), "endpoint": call.operation.path,
    });
    {
        let mut account = world.account();
        let books = account.books_named(call.subaccount.as_deref());
        books.scheduled.put(&id, object(record));
    }
    world.note_account();
    Ok(json!({ "succeeded": 1, "failed": 0, "failures": [], "schedule_id": id }))
}

fn audit_address(record: &Map<String, Value>) -> Option<String> {
    let address = record.get("audit_email")?.as_str()?;
    (!address.is_empty()).then(|| address.to_owned())
}

/// When a mail shall leave; at most three days ahead (provider-api 6).
fn schedule(request: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let wrong = |why: &str| Err(Refusal::Member("schedule", why.to_owned()));
    let due = match request.get("schedule") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(seconds)) => {
            seconds.as_i64().map(|seconds| seconds.saturating_mul(1000))
        }
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => read_date(text).map(|at| at.0),
        Some(_) => None,
    };
    let Some(due) = due.map(Timestamp) else {
        return wrong("a time such as 2026-01-01 12:00:00 +1300");
    };
    if due <= now || due.since(now) > SCHEDULE_MAX {
        return wrong("must lie in the future, at most three days ahead");
    }
    Ok(Some(due))
}

/// A message from its parts: put together just far enough to be delivered.
fn compose(world: &World, call: &Call, request: &Map<String, Value>) -> Result<Bytes, Refusal> {
    let text = |field: &str| {
        request
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let list = |field: &str| -> Vec<String> {
        let items = request.get(field).and_then(Value::as_array);
        let texts = items.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let required = |field: &'static str| {
        let why = format!("The field '{field}' is required");
        Err(Refusal::Member(field, why))
    };
    if text("sender").is_empty() {
        return required("sender");
    }
    if list("to").is_empty() {
        return required("to");
    }
    let (mut subject, mut plain, mut html) =
        (text("subject"), text("text_body"), text("html_body"));
    let template = text("template_id");
    if !template.is_empty() {
        let mut account = world.account();
        let books = account.books_named(call.subaccount.as_deref());
        let record = books.templates.get(&template);
        let record = record.ok_or_else(|| unknown("template", &template))?;
        let of = |member: &str| {
            record
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        (subject, plain, html) = (of("subject"), of("text_body"), of("html_body"));
        // An object, or the text of one (provider-api 14).
        let data = match request.get("template_data") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            given => given.cloned().unwrap_or(Value::Null),
        };
        for (name, value) in data.as_object().into_iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            for part in [&mut subject, &mut plain, &mut html] {
                *part = part.replace(&format!("{{{{{name}}}}}"), &value);
                *part = part.replace(&format!("{{{{ {name} }}}}"), &value);
            }
        }
    } else if subject.is_empty() {
        return required("subject");
    } else if plain.is_empty() && html.is_empty() {
        return required("text_body");
    }
    let line = |text: &str| text.replace(['\r', '\n'], " ");
    let mut raw = format!(
        "From: {}\r\nSubject: {}\r\n",
        line(&text("sender")),
        line(&subject)
    );
    for (name, field) in [("To", "to"), ("Cc", "cc"), ("Bcc", "bcc")] {
        let addresses: Vec<String> = list(field).iter().map(|address| line(address)).collect();
        if addresses.len() > RECIPIENTS_PER_FIELD_MAX {
            return Err(Refusal::Member(field, "more than 100 addresses".to_owned()));
        }
        if !addresses.is_empty() {
            raw.push_str(&format!("{name}: {}\r\n", addresses.join(",\r\n\t")));
        }
    }
    for item in request
        .get("custom_headers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let (Some(name), Some(value)) = (item["header"].as_str(), item["value"].as_str()) else {
            return Err(Refusal::Member(
                "custom_headers",
                "objects with header and value".to_owned(),
            ));
        };
        let of_ours = [
            "from",
            "to",
            "cc",
            "bcc",
            "content-type",
            "content-transfer-encoding",
            "mime-version",
        ];
        if of_ours.contains(&name.trim().to_ascii_lowercase().as_str()) || name.contains(':') {
            let why = format!("{name:?} can't be a custom header");
            return Err(Refusal::Member("custom_headers", why));
        }
        raw.push_str(&format!("{}: {}\r\n", line(name), line(value)));
    }
    body(&mut raw, request, &plain, &html)?;
    Ok(Bytes::from(raw))
}

/// One part, or several with attachments behind them.
fn body(
    raw: &mut String,
    request: &Map<String, Value>,
    plain: &str,
    html: &str,
) -> Result<(), Refusal> {
    let files = |field: &str| {
        request
            .get(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let files = [files("attachments"), files("inlines")].concat();
    let mut parts = Vec::new();
    for (kind, text) in [("plain", plain), ("html", html)] {
        if !text.is_empty() {
            let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
            parts.push(format!(
                "Content-Type: text/{kind}; charset=utf-8\r\n\r\n{text}\r\n"
            ));
        }
    }
    for file in &files {
        let name = file["filename"]
            .as_str()
            .unwrap_or_default()
            .replace(['"', '\r', '\n'], "");
        let content = file["fileblob"].as_str().unwrap_or_default();
        if STANDARD.decode(content).is_err() || (content.is_empty() && file["url"].is_null()) {
            return Err(Refusal::Member(
                "attachments",
                "fileblob must be base64".to_owned(),
            ));
        }
        let kind = file["mimetype"]
            .as_str()
            .unwrap_or("application/octet-stream");
        let kind = kind.replace(['\r', '\n'], "");
        parts.push(format!(
            "Content-Type: {kind}; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{content}\r\n"
        ));
    }
    raw.push_str("MIME-Version: 1.0\r\n");
    match parts.as_slice() {
        [one] => raw.push_str(one),
        _ => {
            let boundary = uuid::Uuid::now_v7().simple();
            raw.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n"
            ));
            for part in parts {
                raw.push_str(&format!("--{boundary}\r\n{part}"));
            }
            raw.push_str(&format!("--{boundary}--\r\n"));
        }
    }
    Ok(())
}

fn scheduled(world: &World, call: &Call) -> Value {
    let (id, search) = (call.text("schedule_id"), call.text("search").to_lowercase());
    let mut account = world.account();
    let books = account.books_named(call.subaccount.as_deref());
    let records = books.scheduled.records();
    let shown: Vec<Value> = records
        .filter(|record| id.is_empty() || record["schedule_id"] == id)
        .map(|record| {
            let mut record = record.clone();
            record.retain(|member, _| {
                let ours = [
                    "due_ms",
                    "mime",
                    "username",
                    "sandbox",
                    "audit_email",
                    "endpoint",
                ];
                !ours.contains(&member.as_str())
            });
            if let Some(Value::Array(recipients)) = record.get("recipients") {
                let joined: Vec<&str> = recipients.iter().filter_map(Value::as_str).collect();
                let joined = json!(joined.join(", "));
                record.insert("recipients".to_owned(), joined);
            }
            Value::Object(record)
        })
        .filter(|record| search.is_empty() || record.to_string().to_lowercase().contains(&search))
        .collect();
    let (size, page) = (
        call.number("limit").unwrap_or(1000),
        call.number("page").unwrap_or(1),
    );
    let from = size.saturating_mul(page.saturating_sub(1));
    shown.into_iter().skip(from).take(size).collect()
}

/// The older way of looking at mails.
fn search(world: &World, call: &Call) -> Result<Value, Refusal> {
    let query = call.text("filter_query");
    let terms = terms(query)?;
    let (ids, user) = (call.texts("email_id"), call.text("username"));
    let (deliveries, happenings) = {
        let mailroom = world.mailroom();
        (mailroom.deliveries(), mailroom.happenings())
    };
    let did = |delivery: &Delivery, kind: HappeningKind| {
        let of_it = |later: &&Happening| later.email_id == delivery.email_id && later.event == kind;
        happenings.iter().any(|later| of_it(&later))
    };
    let asked = |flag: &str| call.flag(flag) == Some(true);
    let wanted = |delivery: &&Delivery| {
        (ids.is_empty() || ids.contains(&delivery.email_id))
            && (user.is_empty() || delivery.username == user)
            && delivery.subaccount == call.subaccount
            && (!asked("opened_only") || did(delivery, HappeningKind::Open))
            && (!asked("clicked_only") || did(delivery, HappeningKind::Click))
            && within(delivery.at, call)
    };
    let shown = |delivery: &Delivery| {
        let status = if did(delivery, HappeningKind::HardBounce) {
            "hardbounce"
        } else if delivery.recipients.is_empty() {
            "rejected"
        } else {
            "delivered"
        };
        json!({
            "email_id": delivery.email_id, "sender": delivery.sender, "status": status,
            "recipient": delivery.recipients.iter().chain(&delivery.rejected).next(),
            "email_ts": delivery.at.to_string(), "username": delivery.username,
        })
    };
    let fits = |email: &Value| {
        terms.iter().all(|(field, term)| {
            let text = email[field].as_str().unwrap_or_default().to_lowercase();
            text.contains(term)
        })
    };
    let emails: Vec<Value> = deliveries
        .iter()
        .filter(wanted)
        .map(shown)
        .filter(fits)
        .collect();
    let total = emails.len();
    let limit = call.number("limit").unwrap_or(EMAILS_MAX).min(EMAILS_MAX);
    let (emails, token) = page(emails, call, limit);
    Ok(json!({ "count": total, "emails": emails, "continue_token": token }))
}

/// Conditions such as `sender:a@b.example AND status:delivered`; nothing more of the query language is known here.
fn terms(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = || {
        let why = "here only field:term, joined by AND".to_owned();
        Refusal::Member("filter_query", why)
    };
    let term = |part: &str| {
        let (field, term) = part.trim().split_once(':').ok_or_else(wrong)?;
        if term.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok((field.to_owned(), term.trim_matches('"').to_lowercase()))
    };
    query.split(" AND ").map(term).collect()
}

/// Accepts or refuses a message.
fn submit(world: &World, mail: Mail) -> Result<Value, Refusal> {
    let Mail {
        endpoint,
        username,
        sandboxed,
        subaccount,
        audit,
        schedule_id,
        fast,
        raw,
    } = mail;
    let mut collector = HeadCollector::new(HEAD_OCTETS_MAX);
    let message = with_crlf(raw);
    let too_long = || Refusal::Member("mime_email", "header block too long".to_owned());
    let body = collector.feed(message).map_err(|_| too_long())?;
    let Head {
        block: head,
        body: rest,
        ..
    } = collector.finish().map_err(|_| too_long())?;
    let view = HeaderView::new(&head);
    let addresses = |name: &str| -> Vec<Mailbox> {
        view.named(name)
            .flat_map(|field| read_addresses(view.value(field)).entries)
            .map(|entry| entry.mailbox)
            .collect()
    };
    let Some(sender) = addresses("From").into_iter().next() else {
        return Ok(failed("message has no usable From header - Code(550)"));
    };
    let mut recipients = Vec::new();
    for name in ["To", "Cc", "Bcc"] {
        let named = addresses(name);
        if named.len() > RECIPIENTS_PER_FIELD_MAX {
            let why = format!("more than {RECIPIENTS_PER_FIELD_MAX} addresses in {name}");
            return Err(Refusal::Member("mime_email", why));
        }
        for mailbox in named {
            if !recipients.contains(&mailbox.key()) {
                recipients.push(mailbox.key());
            }
        }
    }
    if recipients.is_empty() {
        return Ok(failed("no recipients - Code(550)"));
    }
    let mut objection = String::new();
    let (rejected, recipients): (Vec<String>, Vec<String>) = {
        let mut account = world.account();
        let unverified = account.object_to_sender(subaccount.as_deref(), sender.as_str());
        let books = account.books_named(subaccount.as_deref());
        // Who sent it is not there any more to be told: it shows as rejected.
        let late = unverified.is_some() && (fast || schedule_id.is_some());
        if let (Some(why), false) = (&unverified, late) {
            return Ok(failed(why));
        }
        // A sandbox accepts everything and delivers nothing (provider-api 12).
        recipients.into_iter().partition(|recipient| {
            let why = match &unverified {
                Some(why) => why.clone(),
                None if sandboxed => "credential is sandboxed".to_owned(),
                None => books.object_to_recipient(recipient).unwrap_or_default(),
            };
            if objection.is_empty() {
                objection.clone_from(&why);
            }
            !why.is_empty()
        })
    };
    let mut raw = without_bcc(&head, &view, &rest, &body);
    let (email_id, delivery) = {
        let mut mailroom = world.mailroom();
        let email_id = mailroom.next_email_id();
        if endpoint != "/email/mime" && !view.has("Message-ID") {
            // As mails built by the API are named (provider-api 7).
            let name = format!("Message-ID: <E{email_id}@message-id.smtpcorp.com>\r\n");
            raw = Bytes::from([name.as_bytes(), &raw].concat());
        }
        let delivery = Delivery {
            email_id: email_id.clone(),
            at: crate::clock::Clock.wall(),
            endpoint: endpoint.to_owned(),
            username,
            schedule_id,
            sender: sender.key(),
            recipients,
            rejected,
            objection,
            audit,
            subaccount,
            sandboxed,
            size: raw.len(),
            raw,
        };
        let count = mailroom.keep(delivery.clone());
        world.delivered.send_replace(count);
        (email_id, delivery)
    };
    world.announce(&delivery);
    if fast {
        return Ok(json!({ "email_id": email_id }));
    }
    Ok(json!({ "succeeded": 1, "failed": 0, "failures": [], "email_id": email_id }))
}

/// Keeps a mail of `/email/mime` that was refused, so that activity shows it as rejected.
pub(super) fn record_refusal(world: &World, body: &[u8], reply: &str) {
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let encoded = request["mime_email"].as_str().unwrap_or_default();
    let raw = Bytes::from(STANDARD.decode(encoded).unwrap_or_default());
    let mut collector = HeadCollector::new(HEAD_OCTETS_MAX);
    let Ok(Ok(head)) = collector.feed(raw.clone()).map(|_| collector.finish()) else {
        return;
    };
    let view = HeaderView::new(&head.block);
    let keys = |name: &str| -> Vec<String> {
        view.named(name)
            .flat_map(|field| read_addresses(view.value(field)).entries)
            .map(|entry| entry.mailbox.key())
            .collect()
    };
    let mut mailroom = world.mailroom();
    let delivery = Delivery {
        email_id: mailroom.next_email_id(),
        at: crate::clock::Clock.wall(),
        endpoint: "/email/mime".to_owned(),
        username: String::new(),
        schedule_id: None,
        sender: keys("From").into_iter().next().unwrap_or_default(),
        recipients: Vec::new(),
        rejected: [keys("To"), keys("Cc"), keys("Bcc")].concat(),
        objection: reply.to_owned(),
        audit: None,
        subaccount: None,
        sandboxed: false,
        size: raw.len(),
        raw,
    };
    mailroom.keep(delivery);
}

/// The vendor's own example has bare LF line ends.
fn with_crlf(raw: Bytes) -> Bytes {
    if raw.windows(2).any(|pair| pair == b"\r\n") {
        return raw;
    }
    let mut mended = Vec::with_capacity(raw.len() + raw.len() / 32);
    for octet in &raw {
        if *octet == b'\n' {
            mended.push(b'\r');
        }
        mended.push(*octet);
    }
    Bytes::from(mended)
}

fn without_bcc(head: &[u8], view: &HeaderView<'_>, rest: &[u8], body: &[u8]) -> Bytes {
    let mut raw = Vec::with_capacity(head.len() + rest.len() + body.len() + 2);
    let mut start = 0;
    for field in view.named("Bcc") {
        raw.extend_from_slice(&head[start..field.span.start]);
        start = field.span.end;
    }
    raw.extend_from_slice(&head[start..]);
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(rest);
    raw.extend_from_slice(body);
    Bytes::from(raw)
}

/// A refused mail is a 200 (provider-api 3).
pub(super) fn failed(reply: &str) -> Value {
    let failure = format!("An error occurred during the SMTP request: {reply}");
    json!({ "succeeded": 0, "failed": 1, "failures": [failure], "email_id": "" })
}

/// provider-api 5 and provider-api 6.
const RECIPIENTS_PER_FIELD_MAX: usize = 100;
const HEAD_OCTETS_MAX: usize = 1024 * 1024;
const BATCH_MAX: usize = 1000;
const EMAILS_MAX: usize = 5000;
const SCHEDULE_MAX: std::time::Duration = std::time::Duration::from_secs(3 * 86_400);
