//! Which recipients the account allows.

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// View the allowed-recipient list.
    ///
    /// Beyond the seed.
    "allowed-recipients" "view": Post "/allowed_recipients/view", VendorDocs, Read;
    ViewAllowedRecipients {
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedRecipients
}

operation! {
    /// Add the allowed-recipient list.
    ///
    /// Beyond the seed.
    "allowed-recipients" "add": Post "/allowed_recipients/add", VendorDocs, Change;
    AddAllowedRecipients {
        /// Address or domain.
        allowed_recipients: Vec<String>,
        /// Enabled.
        enabled: Option<bool>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedRecipients
}

operation! {
    /// Remove the allowed-recipient list.
    ///
    /// Beyond the seed.
    "allowed-recipients" "remove": Post "/allowed_recipients/remove", VendorDocs, Destroy;
    RemoveAllowedRecipients {
        /// Address or domain.
        allowed_recipients: Vec<String>,
        /// Enabled.
        enabled: Option<bool>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedRecipients
}

operation! {
    /// Update the allowed-recipient list.
    ///
    /// Beyond the seed.
    "allowed-recipients" "update": Post "/allowed_recipients/update", VendorDocs, Destroy;
    UpdateAllowedRecipients {
        /// Address or domain.
        allowed_recipients: Vec<String>,
        /// Enabled.
        enabled: bool,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> AllowedRecipients
}

record! {
    /// What the API says of: allowed recipients.
    AllowedRecipients {
        /// Address or domain.
        allowed_recipients: Vec<String>,
        /// Enabled.
        enabled: bool,
    }
}
