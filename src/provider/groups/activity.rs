//! What became of mails.

use serde_json::{Number, Value};

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Search mail events.
    ///
    /// Answers at most 1,000 events. Free plans see 5 days, paid plans 30 days unless extended.
    /// Limit: 60/minute.
    "activity" "search": Post "/activity/search", VendorDocs, Read;
    SearchActivity {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: today 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Substring over id, subject, to, recipient, bcc; alternatives separated by |.
        search: Option<String>,
        /// Search email id.
        search_email_id: Option<String>,
        /// Search subject.
        search_subject: Option<String>,
        /// How the value of `search_subject` is compared, since 2026-11-05; the permitted words are not known.
        search_subject_op: Option<String>,
        /// Search sender.
        search_sender: Option<String>,
        /// How the value of `search_sender` is compared, since 2026-11-05; the permitted words are not known.
        search_sender_op: Option<String>,
        /// Search recipient.
        search_recipient: Option<String>,
        /// How the value of `search_recipient` is compared, since 2026-11-05; the permitted words are not known.
        search_recipient_op: Option<String>,
        /// Search usernames.
        search_usernames: Option<Vec<String>>,
        /// Names of subaccounts.
        subaccounts: Option<Vec<String>>,
        /// Default: `100`.
        limit: Option<i64>,
        /// From the answer before, to go on behind it.
        continue_token: Option<String>,
        /// Default: `false`.
        only_latest: Option<bool>,
        /// Overrides only_latest. Default: `false`.
        only_latest_by_sent: Option<bool>,
        /// Any of `processed`, `soft-bounced`, `hard-bounced`, `rejected`, `spam`, `delivered`,
        /// `unsubscribed`, `resubscribed`, `opened`, `clicked`.
        event_types: Option<Vec<String>>,
        /// Default: `false`.
        include_headers: Option<bool>,
        /// Custom headers.
        custom_headers: Option<Vec<String>>,
        /// One of `us`, `eu`, `au`.
        region: Option<String>,
    } -> Activity
}

record! {
    /// What the API says of: activity event delivery attempt.
    ActivityEventDeliveryAttempt {
        /// Smtptime.
        smtptime: String,
        /// Host.
        host: String,
        /// Smtpresponse.
        smtpresponse: String,
    }
}

record! {
    /// The reference marks nearly all members required, but its own examples omit many; treat all but
    /// email_id, event and date as optional.
    ActivityEvent {
        /// From.
        from: String,
        /// An address that it is sent to.
        recipient: String,
        /// Subaccount name.
        subaccount_name: String,
        /// Name of the mail at the provider.
        email_id: String,
        /// UTC, RFC 3339.
        date: String,
        /// One of `processed`, `soft-bounced`, `hard-bounced`, `rejected`, `spam`, `delivered`,
        /// `unsubscribed`, `resubscribed`, `opened`, `clicked`.
        event: String,
        /// The subject.
        subject: String,
        /// SMTP username or 16-character API key username.
        username: String,
        /// Reply to.
        reply_to: String,
        /// Address in the From header.
        sender: String,
        /// Sender full.
        sender_full: String,
        /// Value of the To header.
        to: String,
        /// Value of the Cc header.
        cc: String,
        /// Value of the Bcc header.
        bcc: String,
        /// Remote server reply; several lines are joined with \n.
        smtp_response: String,
        /// Reason.
        reason: String,
        /// Host.
        host: String,
        /// Originating host.
        originating_host: String,
        /// Error.
        error: String,
        /// Outbound ip.
        outbound_ip: String,
        /// Recipients.
        recipients: Vec<String>,
        /// Email client.
        email_client: Value,
        /// open/click details.
        metadata: Value,
        /// Byte size.
        byte_size: Number,
        /// Raw header block, only with include_headers.
        headers: String,
        /// Parsed values for the names asked for.
        custom_headers: Value,
        /// processed events only.
        delivery_attempts: Vec<ActivityEventDeliveryAttempt>,
    }
}

record! {
    /// What the API says of: activity.
    Activity {
        /// From the answer before, to go on behind it.
        continue_token: String,
        /// The reference marks nearly all members required, but its own examples omit many; treat all
        /// but email_id, event and date as optional.
        events: Vec<ActivityEvent>,
        /// May exceed the number returned.
        total_events: Number,
    }
}

impl ActivityEvent {
    /// Whether the header `name` has this value, however its name is written; one text, or a list of them.
    pub fn has_header(&self, name: &str, value: &str) -> bool {
        let is = |found: &Value| found.as_str().is_some_and(|text| text.trim() == value);
        let headers = self.custom_headers.as_ref().and_then(Value::as_object);
        headers
            .into_iter()
            .flatten()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .any(|(_, found)| is(found) || found.as_array().is_some_and(|list| list.iter().any(is)))
    }
}
