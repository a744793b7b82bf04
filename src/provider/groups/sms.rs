//! Short messages.

use serde_json::{Number, Value};

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Send an SMS.
    "sms" "send": Post "/sms/send", VendorDocs, Change;
    SendSms {
        /// Country code, + optional. At most 100.
        destination: Vec<String>,
        /// E.164; empty = default number.
        sender: Option<String>,
        /// More than 160 characters become several units.
        content: String,
    } -> SmsSent
}

operation! {
    /// Sent SMS.
    ///
    /// request_id is nested in data in the example.
    "sms" "view-sent": Post "/sms/view-sent", VendorDocs, Read;
    ViewSentSms {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: 7 days ago 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// The SMTP user, or the first 16 characters of an API key.
        username: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SentSms
}

operation! {
    /// Received SMS.
    ///
    /// request_id is nested in data in the example.
    "sms" "view-received": Post "/sms/view-received", VendorDocs, Read;
    ViewReceivedSms {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: 7 days ago 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Unix start.
        unix_start: Option<i64>,
        /// Unix end.
        unix_end: Option<i64>,
        /// The SMTP user, or the first 16 characters of an API key.
        username: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> ReceivedSms
}

operation! {
    /// Totals of a period.
    "sms" "summary": Post "/sms/summary", VendorDocs, Read;
    SmsSummary {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: today 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SmsTotals
}

record! {
    /// Count per status.
    SmsSentStatuses {
        /// Queued.
        queued: Number,
    }
}

record! {
    /// What the API says of: sms sent message.
    SmsSentMessage {
        /// Destination.
        destination: String,
        /// Message id.
        message_id: String,
        /// One of `processing`, `enroute`, `queued`, `submitted`, `processed`, `delivered`, `held`,
        /// `expired`, `cancelled`, `failed`, `rejected`.
        status: String,
    }
}

record! {
    /// What the API says of: sms sent.
    SmsSent {
        /// Total sent.
        total_sent: Number,
        /// Count per status.
        statuses: SmsSentStatuses,
        /// Messages.
        messages: Vec<SmsSentMessage>,
    }
}

record! {
    /// What the API says of: sent sms message.
    SentSmsMessage {
        /// Its name at the provider.
        id: String,
        /// Timestamp.
        timestamp: String,
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// The address of the From header.
        sender: String,
        /// Sender email.
        sender_email: String,
        /// Destination address.
        destination_address: String,
        /// Misspelled ..._county in the schema.
        destination_address_country: String,
        /// Format.
        format: String,
        /// Free text, such as "Message sent".
        status: String,
        /// Content.
        content: String,
        /// Units.
        units: Number,
    }
}

record! {
    /// What the API says of: sent sms.
    SentSms {
        /// Correlation id (UUID text; both v1 and v4 style values are published). Quote it to vendor
        /// support.
        request_id: String,
        /// Messages.
        messages: Vec<SentSmsMessage>,
    }
}

record! {
    /// What the API says of: received sms message.
    ReceivedSmsMessage {
        /// Source address.
        source_address: Value,
        /// Destination address.
        destination_address: Value,
        /// Timestamp.
        timestamp: String,
        /// Content.
        content: String,
        /// Message id.
        message_id: String,
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
    }
}

record! {
    /// What the API says of: received sms.
    ReceivedSms {
        /// Correlation id (UUID text; both v1 and v4 style values are published). Quote it to vendor
        /// support.
        request_id: String,
        /// Messages.
        messages: Vec<ReceivedSmsMessage>,
    }
}

record! {
    /// What the API says of: sms totals.
    SmsTotals {
        /// Total messages.
        total_messages: Number,
        /// Total units.
        total_units: Number,
        /// Total cost.
        total_cost: Number,
    }
}
