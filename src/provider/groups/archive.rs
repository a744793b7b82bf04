//! Copies of sent mails.

use serde_json::{Number, Value};

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Search archived mails.
    ///
    /// Up to 5,000 per answer.
    "archive" "search": Post "/archive/search", VendorDocs, Read;
    SearchArchive {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: today 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Default: `5000`.
        limit: Option<i64>,
        /// The SMTP user, or the first 16 characters of an API key.
        username: Option<String>,
        /// An address that it is sent to.
        recipient: Option<String>,
        /// The address of the From header.
        sender: Option<String>,
        /// Envelope from.
        envelope_from: Option<String>,
        /// The subject.
        subject: Option<String>,
        /// Headers.
        headers: Option<String>,
        /// Documented in the request only.
        continue_token: Option<String>,
    } -> Archive
}

operation! {
    /// One archived mail.
    "archive" "email": Post "/archive/email", VendorDocs, Read;
    GetArchivedEmail {
        /// Name of the mail at the provider.
        email_id: String,
    } -> ArchivedEmail
}

record! {
    /// What the API says of: archived email.
    ArchivedEmail {
        /// Name of the mail at the provider.
        email_id: String,
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// The address of the From header.
        sender: String,
        /// Envelope from.
        envelope_from: String,
        /// An address that it is sent to.
        recipient: String,
        /// Recipients.
        to: String,
        /// The subject.
        subject: String,
        /// Sent.
        sent: String,
        /// Headers.
        headers: String,
        /// Byte count.
        byte_count: Number,
        /// Attachment count.
        attachment_count: Number,
        /// Attachments.
        attachments: Vec<Value>,
        /// Download link of the original mail.
        url: String,
    }
}

record! {
    /// What the API says of: archive.
    Archive {
        /// Email count.
        email_count: Number,
        /// Emails.
        emails: Vec<ArchivedEmail>,
        /// Not in the documented answer; read it when present.
        continue_token: String,
    }
}
