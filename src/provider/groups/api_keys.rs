//! Keys of the API.

use serde_json::{Number, Value};

use super::super::keys::Permissions;
use super::super::loose::{Concealed, List, record};
use super::super::operation::operation;

operation! {
    /// List API keys.
    ///
    /// Keys are masked.
    "api-keys" "view": Post "/api_keys/view", VendorDocs, Read;
    ViewApiKeys {
        /// A full key.
        id: Option<String>,
        /// Search.
        search: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<ApiKey>
}

operation! {
    /// Create an API key.
    ///
    /// The only answer that shows the full key.
    /// Limit: 5/minute.
    "api-keys" "add": Post "/api_keys/add", VendorDocs, Change;
    AddApiKey {
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this key on. Default: `false`.
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
        /// Default: `\['/email/send'\]`.
        endpoints: Option<Vec<String>>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<ApiKey>
}

operation! {
    /// Replace the settings of a key.
    ///
    /// Omitted fields fall back to defaults, except endpoints (fixed 2025-04-03).
    "api-keys" "edit": Post "/api_keys/edit", VendorDocs, Destroy;
    EditApiKey {
        /// The full key.
        id: String,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this key on. Default: `false`.
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
        /// Must be a subset of what the calling key may use. Wildcards allowed. Full list: GET
        /// /api/index.
        endpoints: Option<Vec<String>>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<ApiKey>
}

operation! {
    /// Change only the given settings.
    "api-keys" "patch": Patch "/api_keys/edit", VendorDocs, Change;
    PatchApiKey {
        /// The full key.
        id: String,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this key on.
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
        /// Must be a subset of what the calling key may use. Wildcards allowed. Full list: GET
        /// /api/index.
        endpoints: Option<Vec<String>>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<ApiKey>
}

operation! {
    /// Delete a key.
    ///
    /// Success body not documented.
    "api-keys" "remove": Post "/api_keys/remove", VendorDocs, Destroy;
    RemoveApiKey {
        /// The full key.
        id: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Value
}

operation! {
    /// Paths the calling key may use.
    ///
    /// Open to every key. The schema wraps items in envelopes, the example and the vendor WordPress
    /// plugin use a plain string array.
    "api-keys" "permissions": Post "/api_keys/permissions", VendorDocs, Read;
    ViewPermissions {
    } -> Permissions
}

operation! {
    /// Public list of endpoint paths.
    ///
    /// Linked from the API key reference as the place to look up permission paths. Answer format not
    /// stored.
    "api-keys" "index": Get "/api/index", VendorDocs, Read;
    ListApiEndpoints {
    } -> Value
}

record! {
    /// What the API says of: api key.
    ApiKey {
        /// Full key on add; on view/edit only the first 16 characters followed by asterisks (since
        /// 2026-06-22).
        api_key: Concealed,
        /// First 16 characters of the key; this is the value that appears as username/auth in activity,
        /// stats and webhooks.
        username: String,
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
        /// Tells whether sending was blocked for misuse, since 2026-10-27; read only, its words are not known.
        sending_status: Value,
        /// Paths this key may call; wildcards such as /email/* or * are allowed on input.
        endpoints: Vec<String>,
    }
}
