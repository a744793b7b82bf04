//! Credentials of the SMTP service.

use serde_json::{Number, Value};

use super::super::loose::{Concealed, List, record};
use super::super::operation::operation;

operation! {
    /// List SMTP users, or one.
    ///
    /// Examples return the password in clear. An account without users answers an empty list. No paging
    /// is documented.
    "users" "view": Post "/users/smtp/view", VendorDocs, Read;
    ViewSmtpUsers {
        /// Exact name of one user.
        username: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SmtpUserResults
}

operation! {
    /// Create an SMTP user.
    "users" "add": Post "/users/smtp/add", VendorDocs, Change;
    AddSmtpUser {
        /// 5 to 100 characters (2017 pattern: letters, digits, . _ - @).
        username: String,
        /// At least 64 bits of entropy; leave out to get a generated one (128 bits or more).
        email_password: Option<Concealed>,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this user on. Default: `false`.
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
        /// Legacy. Default: `default`.
        feedback_domain: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SmtpUserResults
}

operation! {
    /// Replace the settings of an SMTP user.
    ///
    /// POST form: omitted fields fall back to their defaults.
    "users" "edit": Post "/users/smtp/edit", VendorDocs, Destroy;
    EditSmtpUser {
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// At least 64 bits of entropy; leave out to get a generated one (128 bits or more).
        email_password: Option<Concealed>,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this user on. Default: `false`.
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
        /// Feedback domain.
        feedback_domain: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SmtpUserResults
}

operation! {
    /// Change only the given settings.
    ///
    /// Answers a bare array instead of {results}. The schema nests an envelope per item, the example
    /// shows plain objects; follow the example.
    "users" "patch": Patch "/users/smtp/edit", VendorDocs, Change;
    PatchSmtpUser {
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// At least 64 bits of entropy; leave out to get a generated one (128 bits or more).
        email_password: Option<Concealed>,
        /// Free text label.
        description: Option<String>,
        /// Turn the custom sending limit of this user on.
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
    } -> List<SmtpUser>
}

operation! {
    /// Delete an SMTP user.
    ///
    /// Answers the removed user.
    "users" "remove": Post "/users/smtp/remove", VendorDocs, Destroy;
    RemoveSmtpUser {
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> SmtpUserResults
}

record! {
    /// status is missing from the documented schema but present in all examples. POST answers also
    /// always carry sending_allowed and custom_ratelimit; the PATCH example does not.
    SmtpUser {
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// SMTP password in clear text. Marked deprecated in the reference, yet present in every
        /// add/view/edit/remove example; absent from the PATCH response. Treat as a secret and tolerate
        /// absence.
        email_password: Concealed,
        /// False when the user may not send.
        sending_allowed: bool,
        /// Older name of description.
        comments: String,
        /// Legacy, "default"; changelog of 2025-04-03 says removed, examples still show it.
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
    /// What the API says of: smtp user results.
    SmtpUserResults {
        /// status is missing from the documented schema but present in all examples. POST answers also
        /// always carry sending_allowed and custom_ratelimit; the PATCH example does not.
        results: Vec<SmtpUser>,
        /// Default ratelimit value.
        default_ratelimit_value: Value,
        /// Length of the rate window: "`<n>` hour(s)|day(s)|week(s)|month(s)", optionally followed by
        /// hh:mm:ss, or hh:mm:ss alone. "0:00:00" is shown when no custom limit is set, "unlimited" for
        /// an unlimited default.
        default_ratelimit_period: String,
    }
}
