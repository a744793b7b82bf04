//! Which senders the account allows.

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// View the restricted-sender list.
    "allowed-senders" "view": Post "/allowed_senders/view", VendorDocs, Read;
    ViewAllowedSenders {
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedSenders
}

operation! {
    /// Add the restricted-sender list.
    ///
    /// Succeeds even while the feature is off.
    "allowed-senders" "add": Post "/allowed_senders/add", VendorDocs, Change;
    AddAllowedSenders {
        /// Address or domain.
        allowed_senders: Vec<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedSenders
}

operation! {
    /// Remove the restricted-sender list.
    ///
    /// Unknown entries are ignored.
    "allowed-senders" "remove": Post "/allowed_senders/remove", VendorDocs, Destroy;
    RemoveAllowedSenders {
        /// Address or domain.
        allowed_senders: Vec<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedSenders
}

operation! {
    /// Update the restricted-sender list.
    ///
    /// Replaces the list and sets the mode.
    "allowed-senders" "update": Post "/allowed_senders/update", VendorDocs, Destroy;
    UpdateAllowedSenders {
        /// Address or domain.
        allowed_senders: Vec<String>,
        /// whitelist = only the listed may send, blacklist = everyone except the listed, disabled =
        /// list not used. Setting whitelist or blacklist switches the verified-sender features off. One
        /// of `whitelist`, `blacklist`, `disabled`.
        mode: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedSenders
}

record! {
    /// What the API says of: allowed senders.
    AllowedSenders {
        /// Address or domain.
        allowed_senders: Vec<String>,
        /// whitelist = only the listed may send, blacklist = everyone except the listed, disabled =
        /// list not used. Setting whitelist or blacklist switches the verified-sender features off. One
        /// of `whitelist`, `blacklist`, `disabled`.
        mode: String,
    }
}
