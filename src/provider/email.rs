//! Sending: `/email/mime` and `/email/send`.
//!
//! A refused mail is HTTP 200 with `failed: 1` and the words of an internal SMTP reply inside
//! `failures` (NOTES section 3).

use serde::{Deserialize, Serialize};

use super::client::Endpoint;

/// A ready made MIME message. The request is streamed by the forwarder and never built in memory,
/// so only path and answer are typed here.
///
/// Source: openapi `sendMimeEmail`; confidence: vendor documentation.
#[derive(Debug)]
pub struct EmailMime;

impl Endpoint for EmailMime {
    const PATH: &'static str = "/email/mime";
    const REPEATABLE: bool = false;
    type Request = ();
    type Response = SendResult;
}

/// A mail from its parts.
///
/// Source: openapi `sendEmail`; confidence: vendor documentation.
#[derive(Debug)]
pub struct EmailSend;

impl Endpoint for EmailSend {
    const PATH: &'static str = "/email/send";
    const REPEATABLE: bool = false;
    type Request = SendRequest;
    type Response = SendResult;
}

/// What `/email/send` takes of what we use. Lists hold at most 100 addresses each.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SendRequest {
    /// `Name <address>`; its domain or address must be verified.
    pub sender: String,
    /// At least one.
    pub to: Vec<String>,
    /// May be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// May be empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// Required without a template.
    pub subject: String,
    /// Plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_body: Option<String>,
    /// HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_body: Option<String>,
    /// Whether later refusals show only as events. The vendor means to change the default, so it is
    /// always said.
    pub fastaccept: bool,
}

/// The answer to either. Counts are of mails, not of recipients.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SendResult {
    /// Missing in one published example, empty when the mail was refused.
    #[serde(default)]
    pub email_id: Option<String>,
    /// Mails accepted; missing with `fastaccept`.
    #[serde(default)]
    pub succeeded: Option<u64>,
    /// Mails refused; missing with `fastaccept`.
    #[serde(default)]
    pub failed: Option<u64>,
    /// One text per refused mail.
    #[serde(default)]
    pub failures: Option<Vec<String>>,
    /// The call's name at the provider; filled in from the envelope of the answer.
    #[serde(skip)]
    pub request_id: String,
}
