//! Addresses that need no credential.

use serde_json::{Number, Value};

use super::super::loose::{List, record};
use super::super::operation::operation;

operation! {
    /// List authenticated IPs.
    ///
    /// Beyond the seed.
    "ip-auth" "view": Post "/ip_auth/view", VendorDocs, Read;
    ViewIpAuth {
        /// The address.
        ip_address: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> IpAuth
}

operation! {
    /// Change an authenticated IP.
    ///
    /// Beyond the seed. PATCH only.
    "ip-auth" "edit": Patch "/ip_auth/edit", VendorDocs, Change;
    PatchIpAuth {
        /// The address.
        ip_address: String,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this IP on.
        custom_ratelimit: Option<bool>,
        /// Emails per period, 1 to 2147483647; only stored when custom_ratelimit is true.
        custom_ratelimit_value: Option<i64>,
        /// Length of the rate window: "`<n>` hour(s)|day(s)|week(s)|month(s)", optionally followed by
        /// hh:mm:ss, or hh:mm:ss alone. "0:00:00" is shown when no custom limit is set, "unlimited" for
        /// an unlimited default.
        custom_ratelimit_period: Option<String>,
        /// Dedicated IP pool id from /dedicated_ips/view. Note: the response spells it ippool.
        ip_pool: Option<i64>,
        /// Unsubscribe footer on.
        feedback_enabled: Option<bool>,
        /// Footer HTML; %%UNSUBSCRIBE%% and %%EMAIL%% are replaced.
        feedback_html: Option<String>,
        /// Footer text; same variables.
        feedback_text: Option<String>,
        /// Insert an open pixel.
        open_tracking_enabled: Option<bool>,
        /// Rewrite links.
        click_tracking_enabled: Option<bool>,
        /// Keep copies (paid plans).
        archive_enabled: Option<bool>,
        /// Addresses, separated by commas, that get a blind copy of every mail; each copy counts.
        audit_email: Option<String>,
        /// "from" = return bounces to the sender, "drop" = discard, or an address that receives them.
        /// Default: `from`.
        bounce_notifications: Option<String>,
        /// State of an SMTP user, API key or authenticated IP. sandbox accepts mail and discards it.
        /// One of `allowed`, `blocked`, `sandbox`.
        status: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<IpAuthEntry>
}

operation! {
    /// Remove an authenticated IP.
    ///
    /// Beyond the seed. Success body not documented.
    "ip-auth" "remove": Post "/ip_auth/remove", VendorDocs, Destroy;
    RemoveIpAuth {
        /// The address.
        ip_address: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Value
}

record! {
    /// What the API says of: ip auth entry.
    IpAuthEntry {
        /// An address or a network. The schema key is misspelled ip_addres in the reference; the example uses
        /// ip_address.
        ip_address ["ip_addres"]: String,
        /// Sending allowed.
        sending_allowed: bool,
        /// Comments.
        comments: String,
        /// Feedback domain.
        feedback_domain: String,
        /// Free text for people.
        description: String,
        /// Named custom_rate_limit in parts of the reference; accept both.
        custom_ratelimit ["custom_rate_limit"]: bool,
        /// Custom ratelimit value.
        custom_ratelimit_value: Number,
        /// Length of the rate window: "`<n>` hour(s)|day(s)|week(s)|month(s)", optionally followed by
        /// hh:mm:ss, or hh:mm:ss alone. "0:00:00" is shown when no custom limit is set, "unlimited" for
        /// an unlimited default.
        custom_ratelimit_period: String,
        /// Account default; schema says string, examples are numbers.
        default_ratelimit_value: Value,
        /// Length of the rate window: "`<n>` hour(s)|day(s)|week(s)|month(s)", optionally followed by
        /// hh:mm:ss, or hh:mm:ss alone. "0:00:00" is shown when no custom limit is set, "unlimited" for
        /// an unlimited default.
        default_ratelimit_period: String,
        /// Dedicated IP pool id.
        ippool: Number,
        /// Feedback enabled.
        feedback_enabled: bool,
        /// Feedback html.
        feedback_html: String,
        /// Feedback text.
        feedback_text: String,
        /// Open tracking enabled.
        open_tracking_enabled: bool,
        /// Click tracking enabled.
        click_tracking_enabled: bool,
        /// Archive enabled.
        archive_enabled: bool,
        /// Addresses, separated by commas, that get a blind copy of every mail; each copy counts.
        audit_email: String,
        /// "from" = return bounces to the sender, "drop" = discard, or an address that receives them.
        /// Default: `from`.
        bounce_notifications: String,
        /// State of an SMTP user, API key or authenticated IP. sandbox accepts mail and discards it.
        /// One of `allowed`, `blocked`, `sandbox`.
        status: String,
    }
}

record! {
    /// What the API says of: ip auth.
    IpAuth {
        /// Results.
        results: Vec<IpAuthEntry>,
        /// Default ratelimit value.
        default_ratelimit_value: Value,
        /// Length of the rate window: "`<n>` hour(s)|day(s)|week(s)|month(s)", optionally followed by
        /// hh:mm:ss, or hh:mm:ss alone. "0:00:00" is shown when no custom limit is set, "unlimited" for
        /// an unlimited default.
        default_ratelimit_period: String,
    }
}
