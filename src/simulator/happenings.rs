//! What happens to a mail after it was delivered: bounces, openings, clicks, complaints. Here, on demand.
//!
//! `POST /_events` takes one such as `{"event": "bounce", "email_id": "…", "rcpt": "ann@example.org"}`, or a list
//! of them; a test calls [`super::Simulator::happen`]. Each shows in activity and statistics, is posted to the webhooks
//! that registered for it, and suppresses the address where the real one would be.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::{Clock, Timestamp};
use crate::provider::read_date;

use super::World;
use super::account::suppression;
use super::desks::stamp;
use super::mailroom::Delivery;

/// One event of one recipient.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// What happened.
    pub event: HappeningKind,
    /// To which mail.
    pub email_id: String,
    /// To whom of its recipients; to the first where it is left out.
    #[serde(default)]
    pub rcpt: String,
    /// The other server's words.
    #[serde(default)]
    pub message: String,
    /// When; now, where it is left out.
    #[serde(default, deserialize_with = "moment")]
    pub at: Option<Timestamp>,
}

/// Milliseconds since 1970, as they are stored, or a date as the API writes them.
fn moment<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_i64().map(Timestamp)),
        Value::String(text) => match read_date(&text) {
            Some(at) => Ok(Some(at)),
            None => Err(serde::de::Error::custom(format!("{text:?} is no date"))),
        },
        other => Err(serde::de::Error::custom(format!("{other} is no date"))),
    }
}

/// The kinds that are known (provider-api 17).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HappeningKind {
    /// Refused for good; the address is suppressed.
    #[serde(alias = "bounce")]
    HardBounce,
    /// Refused for now.
    SoftBounce,
    /// Opened.
    Open,
    /// A link was followed.
    Click,
    /// A complaint; the address is suppressed.
    Spam,
    /// Unsubscribed; the address is suppressed.
    Unsubscribe,
    /// The suppression ends.
    Resubscribe,
}

impl HappeningKind {
    /// The word of webhooks.
    pub(super) fn hook_word(self) -> &'static str {
        match self {
            Self::HardBounce | Self::SoftBounce => "bounce",
            Self::Open => "open",
            Self::Click => "click",
            Self::Spam => "spam",
            Self::Unsubscribe => "unsubscribe",
            Self::Resubscribe => "resubscribe",
        }
    }

    /// The word of `/activity/search`.
    pub(super) fn activity_word(self) -> &'static str {
        match self {
            Self::HardBounce => "hard-bounced",
            Self::SoftBounce => "soft-bounced",
            Self::Open => "opened",
            Self::Click => "clicked",
            Self::Spam => "spam",
            Self::Unsubscribe => "unsubscribed",
            Self::Resubscribe => "resubscribed",
        }
    }

    fn suppresses_for(self) -> Option<&'static str> {
        match self {
            Self::HardBounce => Some("bounce"),
            Self::Spam => Some("spam"),
            Self::Unsubscribe => Some("unsubscribe"),
            _ => None,
        }
    }
}

impl Happening {
    /// What a webhook says beside what it says of every mail.
    pub(super) fn particulars(&self) -> Value {
        let mut more = json!({ "rcpt": self.rcpt });
        let mut set = |name: &str, value: &str| more[name] = json!(value);
        match self.event {
            HappeningKind::HardBounce | HappeningKind::SoftBounce => {
                let hard = self.event == HappeningKind::HardBounce;
                set("bounce", if hard { "hard" } else { "soft" });
                set("host", "mx.example.net [192.0.2.25]");
                set("context", &format!("RCPT TO:<{}>", self.rcpt));
                set("message", &self.message);
            }
            HappeningKind::Open | HappeningKind::Click => {
                set("user-agent", "ExampleMail/1.0");
                set("client", "ExampleMail");
                set("client-device", "Desktop");
                set("client-os", "Linux");
                set("geoip-country", "DE");
                let at = self.at.map(|at| at.to_string()).unwrap_or_default();
                if self.event == HappeningKind::Open {
                    set("read-secs", "5");
                    set("opened-at", &at);
                } else {
                    set("clicked-at", &at);
                }
            }
            _ => {}
        }
        more
    }
}

/// Lets it happen. Returns why it can't.
pub(super) fn happen(world: &World, mut happening: Happening) -> Result<(), String> {
    let deliveries = world.mailroom().deliveries();
    let found = deliveries
        .into_iter()
        .find(|delivery| delivery.email_id == happening.email_id);
    let Some(delivery) = found else {
        return Err(format!("there is no mail {:?}", happening.email_id));
    };
    complete(&mut happening, &delivery)?;
    {
        let mut account = world.account();
        let books = account.books_named(delivery.subaccount.as_deref());
        if let Some(reason) = happening.event.suppresses_for() {
            let at = happening.at.unwrap_or(Clock.wall());
            let record = suppression(&happening.rcpt, reason, &happening.message, &stamp(at));
            books.suppressions.put(&happening.rcpt, record);
        } else if happening.event == HappeningKind::Resubscribe {
            books.suppressions.remove(&happening.rcpt);
        }
    }
    world.note_account();
    world.mailroom().note_happening(happening.clone());
    world.announce_happening(&delivery, &happening);
    Ok(())
}

fn complete(happening: &mut Happening, delivery: &Delivery) -> Result<(), String> {
    if happening.rcpt.is_empty() {
        happening.rcpt = delivery.recipients.first().cloned().unwrap_or_default();
    }
    happening.rcpt = happening.rcpt.to_lowercase();
    if !delivery.recipients.contains(&happening.rcpt) {
        return Err(format!("{:?} did not get this mail", happening.rcpt));
    }
    if happening.message.is_empty() {
        happening.message = match happening.event {
            HappeningKind::HardBounce => "550 5.1.1 User unknown",
            HappeningKind::SoftBounce => "452 4.2.2 Mailbox full",
            _ => "",
        }
        .to_owned();
    }
    happening.at.get_or_insert(Clock.wall());
    Ok(())
}

/// `POST /_events`
pub(super) async fn take(State(world): State<Arc<World>>, body: String) -> Response {
    let wrong = |why: String| (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
    let items = match serde_json::from_str(&body) {
        Ok(Value::Array(items)) => items,
        Ok(one) => vec![one],
        Err(error) => return wrong(error.to_string()),
    };
    let items: Result<Vec<Happening>, _> = items.into_iter().map(serde_json::from_value).collect();
    let items = match items {
        Ok(items) => items,
        Err(error) => return wrong(error.to_string()),
    };
    // All or none: a list with a mistake may be sent again whole.
    let known: Vec<String> = {
        let deliveries = world.mailroom().deliveries().into_iter();
        deliveries.map(|delivery| delivery.email_id).collect()
    };
    if let Some(unknown) = items.iter().find(|item| !known.contains(&item.email_id)) {
        return wrong(format!("there is no mail {:?}", unknown.email_id));
    }
    for happening in items {
        if let Err(why) = happen(&world, happening) {
            return wrong(why);
        }
    }
    StatusCode::NO_CONTENT.into_response()
}
