//! What can go wrong with a call, and what to do about it.
//!
//! | what came back | disposition |
//! | --- | --- |
//! | 401; permission denied; malformed key; an API allow-list text | halt |
//! | 403, 404 or 405 without a word of the API's | suspect |
//! | 402 or a quota text | quota |
//! | 429 or a rate-limit text | throttle |
//! | 400 (or 200) with an error of the API; 413; 422 | bounce |
//! | 503; 408; redirects; other 4xx; lost before the request was complete | defer |
//! | other 5xx; lost or too slow after the request was complete; a 200 without sense | unknown |
//!
//! 404 means that `api_url` is wrong, 403 that the key is refused, or that a firewall in between dislikes
//! this one mail; a 400 without the API's error shape that somebody else answered.
//! None of them is the API's word about the mail, so none bounces it.

use std::time::Duration;

use serde_json::Value;

use crate::mail::{opaque_name, shortened};

/// A call without the answer it was made for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The provider can't have a complete request: no connection, or it broke while sending.
    #[error("cannot reach the provider")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request was complete when the connection or our patience ended.
    #[error("the provider's answer was lost")]
    AnswerLost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The provider, or something before it, said no.
    #[error("the provider answered {0}")]
    Refused(Box<Refusal>),
    /// Success by its status, but nothing that can be understood.
    #[error("the provider's answer makes no sense: {why}{}", with_id(.request_id))]
    Unintelligible {
        /// What is wrong with it.
        why: String,
        /// The call's name at the provider; empty where even that can't be read.
        request_id: String,
    },
    /// Our own message could not be read from the spool.
    #[error("cannot read the stored message")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A refusal in the provider's own words.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The call's name at the provider.
    pub request_id: String,
    /// Such as `E_ApiResponseCodes.API_EXCEPTION`.
    pub error_code: Option<String>,
    /// For people.
    pub error: Option<String>,
    /// The field at fault, with the reason.
    pub field: Option<(String, String)>,
    /// How long we are asked to wait.
    pub retry_after: Option<Duration>,
    /// Whether the whole request had left before.
    pub body_left: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(error) = &self.error {
            write!(f, " {error}")?;
        }
        if let Some(code) = &self.error_code {
            write!(f, " [{}]", code.trim_start_matches("E_ApiResponseCodes."))?;
        }
        if let Some((field, message)) = &self.field {
            write!(f, " (field {field}: {message})")?;
        }
        f.write_str(&with_id(&self.request_id))
    }
}

fn with_id(request_id: &str) -> String {
    match request_id {
        "" => String::new(),
        id => format!(" request_id {id}"),
    }
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// Try again later; the provider is in trouble or out of reach.
    Defer,
    /// Never again: this request is refused for good.
    Bounce,
    /// It may have been done; don't repeat blindly.
    Unknown,
    /// Nothing of this account will work until somebody mends it; that is no fault of the request.
    Halt,
    /// Either that, or something about this one request: another call tells which.
    Suspect,
    /// The account may not send more for now.
    Quota,
    /// Slow down; the provider may have said for how long.
    Throttle(Option<Duration>),
}

impl ApiError {
    /// Whether this call will never work for this key, though others may: it is not permitted, or
    /// there is no such operation here.
    pub fn is_not_offered(&self) -> bool {
        let Self::Refused(refusal) = self else {
            return false;
        };
        let code = refusal.error_code.as_deref().unwrap_or_default();
        code.ends_with("ENDPOINT_PERMISSION_DENIED") || matches!(refusal.status, 404 | 405)
    }

    /// What the caller does next. The only place that decides it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable(_) | Self::Unreadable(_) => Disposition::Defer,
            Self::AnswerLost(_) | Self::Unintelligible { .. } => Disposition::Unknown,
            Self::Refused(refusal) => refusal.disposition(),
        }
    }
}

impl Refusal {
    /// Reads the body of an answer that is not a success, or a success that carries an error.
    pub(super) fn read(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let root: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        // Guide pages show the members at top level, the reference inside `data`.
        let member = |name: &str| match &root["data"][name] {
            Value::Null => root[name].clone(),
            found => found.clone(),
        };
        let words = |text: &str| shortened(text, WORDS_LETTERS_MAX);
        let name = |member: &Value| member.as_str().map(opaque_name);
        let validation = member("field_validation_errors");
        let field = validation["fieldname"].as_str().map(|name| {
            let message = validation["message"].as_str().unwrap_or_default();
            (opaque_name(name), words(message))
        });
        Self {
            status,
            request_id: name(&member("request_id")).unwrap_or_default(),
            error_code: name(&member("error_code")),
            error: member("error").as_str().map(words),
            field,
            retry_after,
            body_left: false,
        }
    }

    /// Whether anything in it is the API's own word; something in between may have answered otherwise.
    pub fn is_worded(&self) -> bool {
        self.error_code.is_some() || self.error.is_some() || !self.request_id.is_empty()
    }

    fn disposition(&self) -> Disposition {
        let code = self.error_code.as_deref().unwrap_or_default();
        let text = self.error.as_deref().unwrap_or_default();
        if self.status == 413 {
            return Disposition::Bounce;
        }
        if let Some(disposition) = Disposition::of_account_text(text) {
            return disposition;
        }
        let key_at_fault = self
            .field
            .as_ref()
            .is_some_and(|(name, _)| name == "api_key");
        match self.status {
            429 => Disposition::Throttle(self.retry_after),
            _ if code.ends_with("REQ_LIMIT_EXCEEDED") => Disposition::Throttle(self.retry_after),
            _ if code.ends_with("ENDPOINT_PERMISSION_DENIED") => Disposition::Halt,
            // Recorded for a malformed key in 2017.
            _ if code.ends_with(".INVALID_IN_PAYLOAD") || key_at_fault => Disposition::Halt,
            401 => Disposition::Halt,
            403..=405 => Disposition::Suspect,
            402 => Disposition::Quota,
            // A 200 that carries an error is a 400 in disguise.
            200..=299 | 400 | 422 if Disposition::may_be_of_account(text) => Disposition::Defer,
            200..=299 | 400 | 422 if !code.is_empty() || !text.is_empty() => Disposition::Bounce,
            503 => Disposition::Defer,
            500..=599 => Disposition::Unknown,
            _ => Disposition::Defer,
        }
    }
}

impl Disposition {
    /// Texts that speak of the account and not of the mail, wherever they turn up but in a quotation.
    pub fn of_account_text(text: &str) -> Option<Self> {
        of_phrases(&without_quotations(&text.to_ascii_lowercase()))
    }

    /// Whether a text speaks of the account in a quotation, so that nobody can say who is meant.
    pub fn may_be_of_account(text: &str) -> bool {
        of_phrases(&text.to_ascii_lowercase()).is_some()
    }
}

fn of_phrases(text: &str) -> Option<Disposition> {
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if any(&[
        "in the ip allow list",
        "that ip address is not allowed to send",
        "that ip address on this account is not allowed to send",
        "username's account is not allowed to send",
    ]) {
        Some(Disposition::Halt)
    } else if any(&["ratelimit exceeded", "rate limit exceeded"]) {
        Some(Disposition::Throttle(None))
    } else if any(&["monthly quota", "daily quota", "sending quota"]) {
        Some(Disposition::Quota)
    } else {
        None
    }
}

/// What stands between quotation marks or angle brackets is the mail's: a subject, a file name, an address. Where next
/// to nothing else is said, the quotation is the reply itself.
fn without_quotations(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    let mut before = ' ';
    while let Some(letter) = rest.chars().next() {
        let inside = &rest[letter.len_utf8()..];
        let closing = match letter {
            '"' => Some('"'),
            '<' => Some('>'),
            '\u{201c}' => Some('\u{201d}'),
            // Elsewhere it is an apostrophe.
            '\'' if !before.is_alphanumeric() => Some('\''),
            _ => None,
        };
        before = letter;
        let Some(closing) = closing else {
            kept.push(letter);
            rest = inside;
            continue;
        };
        kept.push(' ');
        // The last of them closes: a file name may hold some of its own. What is cut off is quoted to its end.
        rest = match letter {
            '<' => inside.split_once(closing).map_or("", |(_, after)| after),
            _ => inside.rsplit_once(closing).map_or("", |(_, after)| after),
        };
    }
    let words = kept.split_whitespace();
    let said = words.filter(|word| word.len() > 1 && word.chars().all(char::is_alphabetic));
    match said.count() {
        0..=1 => text.to_owned(),
        _ => kept,
    }
}

/// Of what somebody else wrote for people.
const WORDS_LETTERS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_words_of_a_refusal_are_cleaned_and_cut() {
        let nasty = |first: &str| format!("{first}\u{1b}[2J\r\n\u{202e}{}", "x".repeat(20_000));
        let name = |first: &str| Some(format!("{first}[2J{}", "x".repeat(124)));
        let words = |first: &str| format!("{first} [2J   {}", "x".repeat(492));
        let answer = json!({"request_id": nasty("r"), "data": {
            "error_code": nasty("c"), "error": nasty("e"),
            "field_validation_errors": {"fieldname": nasty("f"), "message": nasty("m")},
        }});
        let refusal = Refusal::read(400, answer.to_string().as_bytes(), None);
        assert_eq!(Some(refusal.request_id), name("r"));
        assert_eq!(refusal.error_code, name("c"));
        assert_eq!(refusal.error, Some(words("e")));
        assert_eq!(refusal.field, name("f").map(|name| (name, words("m"))));
    }

    #[test]
    fn words_of_the_account_count_unless_they_are_quoted_from_the_mail() {
        for (text, expected) in [
            (
                "550 that IP address is not allowed to send",
                Some(Disposition::Halt),
            ),
            (
                "550 \"API key ratelimit exceeded\" - Code(550)",
                Some(Disposition::Throttle(None)),
            ),
            ("'over the monthly quota'", Some(Disposition::Quota)),
            ("it isn't in the IP allow list", Some(Disposition::Halt)),
            (
                "it isn\u{2019}t in the IP allow list",
                Some(Disposition::Halt),
            ),
            (
                "that SMTP username's account is not allowed to send",
                Some(Disposition::Halt),
            ),
            ("the file \"Daily quota.xls\" is not allowed", None),
            ("the file \"5\" daily quota.pdf\" is not allowed", None),
            ("the file 'daily quota.pdf' is not allowed", None),
            ("the file \"a very long name with a daily quota in it", None),
            ("the mailbox of <daily quota@example.com> is full", None),
        ] {
            assert_eq!(Disposition::of_account_text(text), expected, "{text}");
        }
        assert!(Disposition::may_be_of_account(
            "the file \"Daily quota.xls\" is not allowed"
        ));
    }
}
