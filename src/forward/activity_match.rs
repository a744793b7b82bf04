//! What the provider's records say about a doubt.
//!
//! A mail is recognised by our own `X-Gateway-Id` header and a recipient of the dispatch: one message
//! may have several dispatches, and all carry the same id. Which event it is decides what it means:
//!
//! | event | of the attempts in doubt | older |
//! | --- | --- | --- |
//! | processed, delivered, a bounce, or what a recipient did | the provider has taken the mail | says nothing |
//! | rejected | it has refused it, if it is not older than the newest attempt | says nothing |
//! | any other, or without a recipient | says nothing | says nothing |
//!
//! Only `email_id`, `event` and `date` are sure members of an event (provider-api 18.1).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::mail::{Diagnostic, Mailbox, SpoolId, opaque_name};
use crate::message::GATEWAY_ID;
use crate::provider::groups::activity::ActivityEvent;
use crate::provider::read_date;

use super::classify::is_final;

/// The mail that is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The message.
    pub id: SpoolId,
    /// Whom the dispatch goes to.
    pub recipients: &'a [Mailbox],
    /// When the first attempt began whose outcome is not known, by the provider's clock; `None` where that can't
    /// be told.
    pub since: Option<Timestamp>,
    /// When the newest attempt began, by the provider's clock.
    pub newest: Option<Timestamp>,
    /// Whether the provider is known to have taken the mail for some recipients only: then each must be heard of.
    pub partly: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// The provider has taken it, under this name; refused for these recipients, where it was for some.
    Taken(String, Option<Diagnostic>),
    /// The provider has refused it, in these words; whether for good.
    Refused(Diagnostic, bool),
    /// The records do not tell.
    None,
}

/// Finds the mail among events.
pub fn find_mail(events: &[ActivityEvent], sought: &Sought<'_>) -> Evidence {
    let id = sought.id.to_string();
    let (mut taken, mut heard_of) = (None, 0);
    let mut refused: Vec<String> = Vec::new();
    let mut for_good = true;
    for recipient in sought.recipients {
        let of_it = |event: &&ActivityEvent| {
            event.has_header(GATEWAY_ID, &id)
                && event
                    .recipient
                    .as_deref()
                    .is_some_and(|named| recipient.as_str().eq_ignore_ascii_case(named.trim()))
        };
        let mut of_recipient = events.iter().filter(of_it);
        let proof = of_recipient
            .clone()
            .find(|event| means_taken(event) && is_newer(event, sought.since));
        if let Some(event) = proof {
            taken.get_or_insert_with(|| opaque_name(event.email_id.as_deref().unwrap_or_default()));
            heard_of += 1;
        } else if let Some(event) =
            of_recipient.find(|event| means_refused(event) && is_refusal_of(event, sought.newest))
        {
            // By the same rule as a refusal that was answered.
            for_good &= is_final(words(event));
            refused.push(format!("{recipient}: {}", words(event)));
            heard_of += 1;
        }
    }
    let complete = heard_of == sought.recipients.len();
    let why = (!refused.is_empty()).then(|| Diagnostic::new(refused.join("; ")));
    match (taken, why) {
        (Some(_), _) if sought.partly && !complete => Evidence::None,
        (Some(email_id), why) => Evidence::Taken(email_id, why),
        (None, Some(why)) if complete => Evidence::Refused(why, for_good),
        (None, _) => Evidence::None,
    }
}

/// What a provider reports of mail that it has taken only (provider-api 17, both sets of names).
fn means_taken(event: &ActivityEvent) -> bool {
    let kind = kind(event);
    let kinds = [
        "processed",
        "delivered",
        "spam",
        "unsubscribed",
        "unsubscribe",
        "resubscribed",
        "resubscribe",
        "opened",
        "open",
        "clicked",
        "click",
    ];
    kind.ends_with("bounced") || kind.ends_with("bounce") || kinds.contains(&kind.as_str())
}

fn means_refused(event: &ActivityEvent) -> bool {
    matches!(kind(event).as_str(), "rejected" | "reject")
}

fn kind(event: &ActivityEvent) -> String {
    event
        .event
        .as_deref()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Dates may be cut to the second.
fn is_newer(event: &ActivityEvent, since: Option<Timestamp>) -> bool {
    match (date(event), since) {
        (Some(date), Some(since)) => date.after(GRAIN) >= since,
        _ => true,
    }
}

/// A refusal counts only where it is surely of the newest attempt: an older one was answered and is known.
fn is_refusal_of(event: &ActivityEvent, newest: Option<Timestamp>) -> bool {
    match (date(event), newest) {
        (Some(date), Some(newest)) => date >= newest,
        _ => false,
    }
}

fn date(event: &ActivityEvent) -> Option<Timestamp> {
    read_date(event.date.as_deref()?)
}

fn words(event: &ActivityEvent) -> &str {
    let said = [&event.smtp_response, &event.reason, &event.error];
    let said = said
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty());
    said.map_or("rejected without a reason", String::as_str)
}

const GRAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019362b5a5c07b6d8f0e2f6a1c3d4e5f";
    const FIRST: &str = "2026-11-25T08:00:00Z";
    const NEWEST: &str = "2026-11-25T08:10:00Z";

    fn event(kind: &str, recipient: &str, date: &str) -> ActivityEvent {
        let recipient = match recipient {
            "" => String::new(),
            named => format!(r#""recipient":"{named}","#),
        };
        let text = format!(
            r#"{{"email_id":"e","event":"{kind}",{recipient}"date":"{date}","smtp_response":"550 no",
                "custom_headers":{{"x-gateway-id":"{ID}"}}}}"#
        );
        serde_json::from_str(&text).expect("an event")
    }

    fn found(events: &[ActivityEvent], to: &[&str], partly: bool) -> Evidence {
        let recipients: Vec<Mailbox> = to
            .iter()
            .map(|to| to.parse().expect("an address"))
            .collect();
        let sought = Sought {
            id: ID.parse().expect("an id"),
            recipients: &recipients,
            since: read_date(FIRST),
            newest: read_date(NEWEST),
            partly,
        };
        find_mail(events, &sought)
    }

    #[test]
    fn only_an_event_of_mail_that_was_taken_since_confirms() {
        let taken = Evidence::Taken("e".to_owned(), None);
        let refused = Evidence::Refused(Diagnostic::new("a@b.test: 550 no"), true);
        for (kind, recipient, date, evidence) in [
            ("processed", "A@b.test", NEWEST, &taken),
            ("delivered", "a@b.test", "2026-11-25T08:05:00Z", &taken),
            ("hard-bounced", "a@b.test", NEWEST, &taken),
            ("soft-bounced", "a@b.test", NEWEST, &taken),
            ("opened", "a@b.test", NEWEST, &taken),
            ("processed", "a@b.test", "2026-11-25T07:59:59Z", &taken),
            (
                "processed",
                "a@b.test",
                "2026-11-25T07:59:00Z",
                &Evidence::None,
            ),
            ("processed", "c@b.test", NEWEST, &Evidence::None),
            ("processed", "", NEWEST, &Evidence::None),
            (
                "rejected",
                "a@b.test",
                "2026-11-25T08:05:00Z",
                &Evidence::None,
            ),
            ("rejected", "a@b.test", NEWEST, &refused),
            ("rejected", "", NEWEST, &Evidence::None),
            ("scheduled", "a@b.test", NEWEST, &Evidence::None),
            ("", "a@b.test", NEWEST, &Evidence::None),
        ] {
            let events = [event(kind, recipient, date)];
            let evidence_found = found(&events, &["a@b.test"], false);
            assert_eq!(&evidence_found, evidence, "{kind} {recipient} {date}");
        }
        let other = r#"{"email_id":"e","event":"processed","recipient":"a@b.test"}"#;
        let other: ActivityEvent = serde_json::from_str(other).expect("an event");
        assert_eq!(found(&[other], &["a@b.test"], false), Evidence::None);
    }

    #[test]
    fn a_rejection_is_for_good_only_with_a_code_that_says_so() {
        for (reply, for_good) in [
            ("550 no", true),
            (
                "An error occurred during the SMTP request: no - Code(550)",
                true,
            ),
            ("451 4.7.1 later", false),
            ("credential is sandboxed", false),
            ("", false),
        ] {
            let mut rejected = event("rejected", "a@b.test", NEWEST);
            rejected.smtp_response = Some(reply.to_owned());
            let Evidence::Refused(_, found) = found(&[rejected], &["a@b.test"], false) else {
                panic!("{reply}");
            };
            assert_eq!(found, for_good, "{reply}");
        }
    }

    #[test]
    fn of_a_mail_that_was_taken_in_part_every_recipient_must_be_heard_of() {
        let to = ["a@b.test", "c@b.test"];
        let one = [event("delivered", "a@b.test", NEWEST)];
        assert_eq!(found(&one, &to, true), Evidence::None);
        assert_eq!(
            found(&one, &to, false),
            Evidence::Taken("e".to_owned(), None)
        );
        let both = [
            event("rejected", "c@b.test", NEWEST),
            event("delivered", "a@b.test", NEWEST),
        ];
        let why = Some(Diagnostic::new("c@b.test: 550 no"));
        assert_eq!(
            found(&both, &to, true),
            Evidence::Taken("e".to_owned(), why)
        );
        let refused = [event("rejected", "a@b.test", NEWEST)];
        assert_eq!(
            found(&refused, &to, false),
            Evidence::None,
            "nothing is known of the other"
        );
    }

    #[test]
    fn what_the_records_call_a_mail_is_cleaned_and_cut() {
        let mut taken = event("delivered", "a@b.test", NEWEST);
        taken.email_id = Some(format!("e\u{1b}[2J\r\n\u{202e}{}", "x".repeat(20_000)));
        let name = format!("e[2J{}", "x".repeat(124));
        let found = found(&[taken], &["a@b.test"], false);
        assert_eq!(found, Evidence::Taken(name, None));
    }
}
