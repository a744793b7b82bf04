//! Where events are posted.

use serde_json::{Number, Value};

use super::super::loose::{Concealed, List, record};
use super::super::operation::operation;

operation! {
    /// Register a webhook.
    ///
    /// Free plan 1, paid plans up to 10.
    "webhook" "add": Post "/webhook/add", VendorDocs, Change;
    AddWebhook {
        /// http or https; user:password@ in the URL is turned into Basic auth.
        url: String,
        /// Subscription names. Unknown names are reported to be ignored silently. Any of `delivered`,
        /// `unsubscribe`, `spam`, `bounce`, `processed`, `reject`, `click`, `open`.
        events: Option<Vec<String>>,
        /// Any of `delivered`, `failed`, `rejected`, `sending`, `submitted`, `opt-out`.
        sms_events: Option<Vec<String>>,
        /// Names of mail headers to echo; Subject and Message-Id always are.
        headers: Option<Vec<String>>,
        /// Restrict to these SMTP users, API keys or IPs; empty = all.
        usernames: Option<Vec<String>>,
        /// One of `form`, `json`. Default: `form`.
        output_format: Option<String>,
        /// Authorization scheme used on delivery; "" = none. One of `bearer`, `basic`, empty.
        auth_header_type: Option<String>,
        /// Token, or base64(user:password) for basic.
        auth_header_value: Option<Concealed>,
        /// Switches it off, since 2026-10-10.
        disabled: Option<bool>,
        /// Headers of its deliveries, since 2026-10-13; the shape is not known.
        custom_headers: Option<Value>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Webhook
}

operation! {
    /// Change a webhook.
    "webhook" "edit": Post "/webhook/edit", VendorDocs, Change;
    EditWebhook {
        /// Its name at the provider.
        id: i64,
        /// http or https; user:password@ in the URL is turned into Basic auth.
        url: Option<String>,
        /// Subscription names. Unknown names are reported to be ignored silently. Any of `delivered`,
        /// `unsubscribe`, `spam`, `bounce`, `processed`, `reject`, `click`, `open`.
        events: Option<Vec<String>>,
        /// Any of `delivered`, `failed`, `rejected`, `sending`, `submitted`, `opt-out`.
        sms_events: Option<Vec<String>>,
        /// Names of mail headers to echo; Subject and Message-Id always are.
        headers: Option<Vec<String>>,
        /// Restrict to these SMTP users, API keys or IPs; empty = all.
        usernames: Option<Vec<String>>,
        /// One of `form`, `json`. Default: `form`.
        output_format: Option<String>,
        /// Authorization scheme used on delivery; "" = none. One of `bearer`, `basic`, empty.
        auth_header_type: Option<String>,
        /// Token, or base64(user:password) for basic.
        auth_header_value: Option<Concealed>,
        /// Switches it off, since 2026-10-10.
        disabled: Option<bool>,
        /// Headers of its deliveries, since 2026-10-13; the shape is not known.
        custom_headers: Option<Value>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Webhook
}

operation! {
    /// Delete a webhook.
    ///
    /// Answers the removed webhook.
    "webhook" "remove": Post "/webhook/remove", VendorDocs, Destroy;
    RemoveWebhook {
        /// Its name at the provider.
        id: i64,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Webhook
}

operation! {
    /// List webhooks.
    ///
    /// Documented as one object; the live API answers an array (third-party integration tests). Emit an
    /// array, accept both.
    "webhook" "view": Post "/webhook/view", ThirdParty, Read;
    ViewWebhooks {
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> List<Webhook>
}

record! {
    /// What the API says of: webhook.
    Webhook {
        /// Its name at the provider.
        id: Number,
        /// http or https; user:password@ in the URL is turned into Basic auth.
        url: String,
        /// Subscription names. Unknown names are reported to be ignored silently. Any of `delivered`,
        /// `unsubscribe`, `spam`, `bounce`, `processed`, `reject`, `click`, `open`.
        events: Vec<String>,
        /// Any of `delivered`, `failed`, `rejected`, `sending`, `submitted`, `opt-out`.
        sms_events: Vec<String>,
        /// Array by schema, plain string in two examples.
        headers: Value,
        /// Array by schema, plain string in two examples.
        usernames: Value,
        /// One of `form`, `json`. Default: `form`.
        output_format: String,
        /// Authorization scheme used on delivery; "" = none. One of `bearer`, `basic`, empty.
        auth_header_type: String,
        /// Token, or base64(user:password) for basic.
        auth_header_value: Concealed,
        /// Whether it is switched off, since 2026-10-10.
        disabled: bool,
        /// Headers of its deliveries, since 2026-10-13; the shape is not known.
        custom_headers: Value,
    }
}
