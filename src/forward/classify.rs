//! What became of an attempt: the whole table of outcomes.
//!
//! | what came back | outcome | account |
//! | --- | --- | --- |
//! | 200, nothing failed, `succeeded ≥ 1` or an `email_id` | accepted | ok |
//! | 200 with `failed ≥ 1` and `succeeded ≥ 1` or an `email_id` | unknown, and each recipient is asked for | ok |
//! | 200 with `failed ≥ 1`, the reply inside is 5xx | bounced | ok |
//! | the same with 4xx, without a code, or with one that is no refusal or about a command | deferred | ok |
//! | 200 that is neither | unknown | unavailable |
//! | disposition defer / bounce / unknown | deferred / bounced / unknown | unavailable / ok / unavailable |
//! | disposition halt / quota / throttle | deferred | halted / paused / paused |
//! | disposition suspect | deferred | halted where a probe fails, else unavailable |
//!
//! Statuses and error bodies become dispositions in [`crate::provider::ApiError::disposition`].

use std::error::Error;

use crate::mail::{Diagnostic, Outcome};
use crate::provider::{ApiError, Disposition, SendResult};
use crate::resilience::AccountSignal;

/// The outcome of one attempt, and what it says about the account.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// For the dispatch.
    pub outcome: Outcome,
    /// For the account.
    pub account: AccountSignal,
    /// Whether the provider took the mail for some recipients and refused it for others.
    pub partly: bool,
}

impl Classified {
    fn new(outcome: Outcome, account: AccountSignal) -> Self {
        Self {
            outcome,
            account,
            partly: false,
        }
    }
}

/// Maps an answer to an outcome. `octets` is used in the text of a size refusal.
pub fn classify(answer: &Result<SendResult, ApiError>, octets: u64) -> Classified {
    match answer {
        Ok(result) => of_result(result),
        Err(error) => of_error(error, octets),
    }
}

fn of_result(result: &SendResult) -> Classified {
    let email_id = result.email_id.clone().unwrap_or_default();
    let taken = result.succeeded.unwrap_or(0) > 0 || !email_id.is_empty();
    if result.failed.unwrap_or(0) > 0 && taken {
        let why = result
            .failures
            .first()
            .map_or("without a reason", String::as_str);
        return Classified {
            outcome: Outcome::Unknown(Diagnostic::new(format!(
                "taken for some recipients (email_id {email_id:?}), refused for others: {why}"
            ))),
            account: AccountSignal::Ok,
            partly: true,
        };
    }
    if result.failed.unwrap_or(0) > 0 {
        let text = result.failures.first();
        return of_failure(text.map_or("refused without a reason", String::as_str));
    }
    if taken {
        let accepted = Outcome::Accepted {
            email_id,
            request_id: result.request_id.clone(),
        };
        return Classified::new(accepted, AccountSignal::Ok);
    }
    let neither = Diagnostic::new("200 that neither accepts nor refuses");
    Classified::new(Outcome::Unknown(neither), AccountSignal::Unavailable)
}

/// The provider submits over SMTP itself and passes on the reply it got.
fn of_failure(text: &str) -> Classified {
    let diagnostic = Diagnostic::new(text);
    if let Some(disposition) = Disposition::of_account_text(text) {
        return of_disposition(disposition, diagnostic);
    }
    // Without a code are the refusals that somebody can mend, such as that of a domain that is not verified.
    let outcome = if is_final(text) {
        Outcome::Bounced(diagnostic)
    } else {
        Outcome::Deferred(diagnostic)
    };
    Classified::new(outcome, AccountSignal::Ok)
}

fn of_error(error: &ApiError, octets: u64) -> Classified {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(&format!(": {error}"));
        source = error.source();
    }
    if let ApiError::Refused(refusal) = error
        && refusal.status == 413
    {
        words.push_str(&format!(" (message of {octets} octets)"));
    }
    of_disposition(error.disposition(), Diagnostic::new(words))
}

fn of_disposition(disposition: Disposition, diagnostic: Diagnostic) -> Classified {
    let (outcome, account) = match disposition {
        Disposition::Defer => (Outcome::Deferred(diagnostic), AccountSignal::Unavailable),
        Disposition::Bounce => (Outcome::Bounced(diagnostic), AccountSignal::Ok),
        Disposition::Unknown => (Outcome::Unknown(diagnostic), AccountSignal::Unavailable),
        Disposition::Halt => (Outcome::Deferred(diagnostic), AccountSignal::KeyRefused),
        Disposition::Suspect => (Outcome::Deferred(diagnostic), AccountSignal::Ambiguous),
        Disposition::Quota => (Outcome::Deferred(diagnostic), AccountSignal::Quota),
        Disposition::Throttle(wait) => {
            (Outcome::Deferred(diagnostic), AccountSignal::Throttle(wait))
        }
    };
    Classified::new(outcome, account)
}

/// Whether a reply refuses the mail for good. 500 to 504 find fault with a command that the provider itself wrote
/// (RFC 5321 §4.2.2), and what speaks of the account is no fault of the mail.
pub(super) fn is_final(text: &str) -> bool {
    matches!(reply_code(text), Some(505..=599)) && !Disposition::may_be_of_account(text)
}

/// `Code(550)` anywhere, or three digits where the reply begins.
fn reply_code(text: &str) -> Option<u16> {
    let named = text
        .rsplit_once("Code(")
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(code, _)| code.parse().ok());
    let leading = || {
        let reply = text
            .strip_prefix(FAILURE_PREFIX)
            .unwrap_or(text)
            .trim_start();
        let (code, rest) = reply.split_at_checked(3)?;
        let ends = rest.is_empty() || rest.starts_with([' ', '-']);
        code.parse().ok().filter(|_| ends)
    };
    named
        .or_else(leading)
        .filter(|code| (200..600).contains(code))
}

/// How the provider introduces the reply (provider-api 3).
const FAILURE_PREFIX: &str = "An error occurred during the SMTP request:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_code_is_found_where_the_provider_puts_it() {
        for (text, code) in [
            (
                "An error occurred during the SMTP request: a\nb - Code(550)",
                Some(550),
            ),
            (
                "An error occurred during the SMTP request: 451-try later",
                Some(451),
            ),
            ("550 no", Some(550)),
            ("unable to verify sender address", None),
            ("5500 messages", None),
            ("Code(abc)", None),
        ] {
            assert_eq!(reply_code(text), code, "{text}");
        }
    }
}
