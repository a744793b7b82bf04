//! Sending mail, and mail that is scheduled.

use serde_json::{Map, Number, Value};

use super::super::email::SendResult;
use super::super::loose::{List, record};
use super::super::operation::operation;

operation! {
    /// Send a mail from its parts.
    "email" "send": Post "/email/send", VendorDocs, Change;
    SendEmail {
        /// From address; must belong to a verified sender domain or single sender email.
        sender: String,
        /// "Name `<user@example.com>`" or a bare address; `<user@example.com>` is sent by the vendor
        /// Node client. At most 100.
        to: Vec<String>,
        /// "Name `<user@example.com>`" or a bare address; `<user@example.com>` is sent by the vendor
        /// Node client. At most 100.
        cc: Option<Vec<String>>,
        /// "Name `<user@example.com>`" or a bare address; `<user@example.com>` is sent by the vendor
        /// Node client. At most 100.
        bcc: Option<Vec<String>>,
        /// Ignored when template_id is given; otherwise expected (listed as required in docs 3.0.3 and
        /// for batch items, optional in 3.0.4).
        subject: Option<String>,
        /// html_body or text_body is needed unless template_id is given.
        html_body: Option<String>,
        /// A body of spaces only is legal.
        text_body: Option<String>,
        /// Such as Reply-To.
        custom_headers: Option<Vec<Map<String, Value>>>,
        /// Attachments.
        attachments: Option<Vec<Map<String, Value>>>,
        /// Inlines.
        inlines: Option<Vec<Map<String, Value>>>,
        /// Template id.
        template_id: Option<String>,
        /// Reference types it as a JSON string; every example and every client sends an object.
        template_data: Option<Value>,
        /// Future instant at most 3 days ahead. Published example "2025-09-10 13:15:00 +1200"; the
        /// vendor PHP client sends Unix seconds. At most 50,000 mails may be queued (10,000 in the 2025
        /// changelog).
        schedule: Option<String>,
        /// Undocumented in the current reference: MIME structure version 1 or 2, sent by the vendor
        /// PHP, .NET and WordPress clients (deprecated in PHP). One of `1`, `2`.
        version: Option<i64>,
        /// Queue at once and answer with email_id only; later refusals show up only as webhook/activity
        /// events. Announced to become the default. Default: `false`.
        fastaccept: Option<bool>,
    } -> SendResult
}

operation! {
    /// Send a ready made MIME message.
    ///
    /// Only the message itself, schedule and fastaccept can be given: there is no envelope sender and
    /// no envelope recipient list. The vendor says the given MIME text is used as is. Which headers
    /// supply the recipients, and whether Bcc is removed, is not documented; see provider-api 7.
    "email" "mime": Post "/email/mime", VendorDocs, Change;
    SendMimeEmail {
        /// Base64 of the complete RFC 5322 message. Bare LF line ends are used in the vendor example.
        mime_email: String,
        /// Future instant at most 3 days ahead. Published example "2025-09-10 13:15:00 +1200"; the
        /// vendor PHP client sends Unix seconds. At most 50,000 mails may be queued (10,000 in the 2025
        /// changelog).
        schedule: Option<String>,
        /// Queue at once and answer with email_id only; later refusals show up only as webhook/activity
        /// events. Announced to become the default. Default: `false`.
        fastaccept: Option<bool>,
    } -> SendResult
}

operation! {
    /// Send up to 1,000 mails in one call.
    ///
    /// Beyond the seed. Items have the shape of /email/send without fastaccept; the endpoint queues by
    /// default. Answers keep the request order.
    "email" "batch": Post "/email/batch", VendorDocs, Change;
    SendEmailBatch {
        /// Null or empty optional members count as absent: the vendor Go, Python and Rust clients send
        /// null, "" and {} for unused fields, including schedule and template_id. At most 1000.
        emails: Vec<Map<String, Value>>,
    } -> List<BatchedEmail>
}

operation! {
    /// List queued scheduled mails.
    ///
    /// Beyond the seed. Offset paging with page.
    "email" "scheduled-search": Post "/email/scheduled/search", VendorDocs, Read;
    SearchScheduledEmails {
        /// Schedule id.
        schedule_id: Option<String>,
        /// Appears only in the request example.
        search: Option<String>,
        /// Search subject.
        search_subject: Option<String>,
        /// Search recipient.
        search_recipient: Option<String>,
        /// Search sender.
        search_sender: Option<String>,
        /// Default: `1000`.
        limit: Option<i64>,
        /// Counts from 1.
        page: Option<i64>,
    } -> List<ScheduledEmail>
}

operation! {
    /// Cancel a scheduled mail.
    ///
    /// Beyond the seed. The success body is not documented.
    "email" "scheduled-remove": Post "/email/scheduled/remove", VendorDocs, Destroy;
    RemoveScheduledEmail {
        /// Schedule id.
        schedule_id: String,
    } -> Value
}

operation! {
    /// Search sent mails (deprecated).
    ///
    /// Replaced by /activity/search; gone from the 3.0.4 endpoint list but still indexed. filter_query
    /// is a Whoosh subset (field:term, AND/OR/NOT, quotes). New mails need about two minutes to appear.
    /// Limit: 20/minute (4/minute in 2017).
    /// Deprecated by the vendor.
    "email" "search": Post "/email/search", VendorDocs, Read;
    SearchEmails {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: today 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Default: `5000`.
        limit: Option<i64>,
        /// Default: `false`.
        status_counts: Option<bool>,
        /// Default: `false`.
        opened_only: Option<bool>,
        /// Default: `false`.
        clicked_only: Option<bool>,
        /// Default: `false`.
        ignore_case: Option<bool>,
        /// Filter query.
        filter_query: Option<String>,
        /// Name of the mail at the provider.
        email_id: Option<Vec<String>>,
        /// The SMTP user, or the first 16 characters of an API key.
        username: Option<String>,
        /// Headers.
        headers: Option<Vec<String>>,
        /// From the answer before, to go on behind it.
        continue_token: Option<String>,
    } -> FoundEmails
}

record! {
    /// What the API says of: batched email.
    BatchedEmail {
        /// Name of the mail at the provider.
        email_id: String,
        /// Schedule id.
        schedule_id: String,
    }
}

record! {
    /// What the API says of: scheduled email.
    ScheduledEmail {
        /// Schedule id.
        schedule_id: String,
        /// Schedule.
        schedule: String,
        /// The address of the From header.
        sender: String,
        /// The subject.
        subject: String,
        /// Recipients.
        recipients: String,
        /// Client ip.
        client_ip: String,
    }
}

record! {
    /// What the API says of: found emails email open.
    FoundEmailsEmailOpen {
        /// User agent.
        user_agent: String,
        /// Opened at.
        opened_at: String,
        /// Read secs.
        read_secs: String,
        /// An address that it is sent to.
        recipient: String,
        /// The address.
        ip_address ["ip_addres"]: String,
    }
}

record! {
    /// What the API says of: found emails email header.
    FoundEmailsEmailHeader {
        /// Key.
        key: String,
        /// Value.
        value: String,
    }
}

record! {
    /// What the API says of: found emails email.
    FoundEmailsEmail {
        /// Name of the mail at the provider.
        email_id: String,
        /// The address of the From header.
        sender: String,
        /// An address that it is sent to.
        recipient: String,
        /// Smtpcode.
        smtpcode: Number,
        /// Remote reply.
        response: String,
        /// One of `completed`, `processing`, `rejected`.
        process_status: String,
        /// processed, bounce, delivered, unsubscribed, spam, deferred, opened, refused, cancelled (docs
        /// 3.0.3); "ok" in 2017.
        status: String,
        /// Host.
        host: String,
        /// Email ts.
        email_ts: String,
        /// Delivered at.
        delivered_at: String,
        /// Opens.
        opens: Vec<FoundEmailsEmailOpen>,
        /// Total opens.
        total_opens: Number,
        /// Headers.
        headers: Vec<FoundEmailsEmailHeader>,
    }
}

record! {
    /// What the API says of: found emails.
    FoundEmails {
        /// Count.
        count: Number,
        /// Emails.
        emails: Vec<FoundEmailsEmail>,
        /// Changes on every page.
        continue_token: String,
    }
}
