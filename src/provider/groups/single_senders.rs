//! Single addresses that may be sent from.

use serde_json::Value;

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// List single sender addresses.
    ///
    /// The example nests request_id inside data; accept both places.
    "single-senders" "view": Post "/single_sender_emails/view", VendorDocs, Read;
    ViewSingleSenders {
        /// Filter.
        email_address: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SingleSenders
}

operation! {
    /// Add an address and mail the verification link.
    ///
    /// Repeating the call for an unverified address sends the link again. Success example is only
    /// {"just_returns_this":"ok"}.
    "single-senders" "add": Post "/single_sender_emails/add", VendorDocs, Change;
    AddSingleSender {
        /// The address.
        email_address: String,
        /// Plain text added to the mail.
        message: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Value
}

operation! {
    /// Remove an address.
    ///
    /// Unknown address gives API_EXCEPTION. data is a string by schema; example is
    /// {"just_returns_this":"OK"}.
    "single-senders" "remove": Post "/single_sender_emails/remove", VendorDocs, Destroy;
    RemoveSingleSender {
        /// The address.
        email_address: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Value
}

record! {
    /// What the API says of: single senders sender.
    SingleSendersSender {
        /// The address.
        email_address: String,
        /// Verified.
        verified: bool,
    }
}

record! {
    /// What the API says of: single senders.
    SingleSenders {
        /// Correlation id (UUID text; both v1 and v4 style values are published). Quote it to vendor
        /// support.
        request_id: String,
        /// Senders.
        senders: Vec<SingleSendersSender>,
    }
}
