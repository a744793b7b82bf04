//! Addresses that get no mail.

use serde_json::Number;

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Block an address or domain.
    "suppression" "add": Post "/suppression/add", VendorDocs, Change;
    AddSuppression {
        /// Address or domain.
        email_address: String,
        /// Block description.
        block_description: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SuppressionAdded
}

operation! {
    /// Unblock.
    ///
    /// One result per reason asked for.
    "suppression" "remove": Post "/suppression/remove", VendorDocs, Destroy;
    RemoveSuppression {
        /// The address.
        email_address: String,
        /// Any of `manual`, `spam`, `unsubscribe`, `bounce`, `compliance`.
        reasons: Vec<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SuppressionRemoved
}

operation! {
    /// List blocks.
    ///
    /// The documented defaults of start_date and end_date look swapped.
    "suppression" "view": Post "/suppression/view", VendorDocs, Read;
    ViewSuppressions {
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: see description.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: see description.
        end_date: Option<String>,
        /// From the answer before, to go on behind it.
        continue_token: Option<String>,
        /// The address.
        email_address: Option<String>,
        /// Fuzzy.
        fuzzy: Option<bool>,
        /// Reason.
        reason: Option<String>,
        /// Reasons.
        reasons: Option<Vec<String>>,
        /// An address that it is sent to.
        recipient: Option<String>,
        /// Recipients.
        recipients: Option<Vec<String>>,
        /// One of `asc`, `desc`.
        sort: Option<String>,
        /// One of `manual`, `spam`, `unsubscribe`, `bounce`, `compliance`.
        suppression_type: Option<String>,
        /// Any of `manual`, `spam`, `unsubscribe`, `bounce`, `compliance`.
        suppression_types: Option<Vec<String>>,
        /// Substring of name, domain or address.
        wildcard: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Suppressions
}

record! {
    /// What the API says of: suppression added.
    SuppressionAdded {
        /// Added.
        added: bool,
        /// Block description.
        block_description: String,
        /// The address.
        email_address: String,
    }
}

record! {
    /// What the API says of: suppression removed suppression.
    SuppressionRemovedSuppression {
        /// The address.
        email_address: String,
        /// Reason.
        reason: String,
        /// Removed.
        removed: bool,
    }
}

record! {
    /// What the API says of: suppression removed.
    SuppressionRemoved {
        /// Suppressions.
        suppressions: Vec<SuppressionRemovedSuppression>,
    }
}

record! {
    /// What the API says of: suppression.
    Suppression {
        /// Address or domain.
        email_address: String,
        /// Kind of block. One of `manual`, `spam`, `unsubscribe`, `bounce`, `compliance`.
        reason: String,
        /// Block description.
        block_description: String,
        /// Complaint.
        complaint: String,
        /// The subject.
        subject: String,
        /// Timestamp.
        timestamp: String,
    }
}

record! {
    /// What the API says of: suppressions.
    Suppressions {
        /// From the answer before, to go on behind it.
        continue_token: String,
        /// Results.
        results: Vec<Suppression>,
        /// How many there are in all.
        total_results: Number,
    }
}
