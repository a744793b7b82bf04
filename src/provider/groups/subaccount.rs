//! Accounts below this one.

use serde_json::{Number, Value};

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// List subaccounts.
    "subaccount" "search": Post "/subaccounts/search", VendorDocs, Read;
    SearchSubaccounts {
        /// Default: `true`.
        fuzzy_search: Option<bool>,
        /// Search terms.
        search_terms: Option<Vec<String>>,
        /// One of `all`, `active`, `closed`, `suspended`. Default: `all`.
        states: Option<String>,
        /// One of `asc`, `desc`. Default: `asc`.
        sort_direction: Option<String>,
        /// Default: `100`.
        page_size: Option<i64>,
        /// From the answer before, to go on behind it.
        continue_token: Option<String>,
    } -> Subaccounts
}

operation! {
    /// Create a subaccount.
    ///
    /// Limit: 50/hour.
    "subaccount" "add": Post "/subaccount/add", VendorDocs, Change;
    AddSubaccount {
        /// Fullname.
        fullname: String,
        /// Gets an invitation.
        subaccount_email: Option<String>,
        /// Mails per cycle; listed values 2000, 5000, 10000, 20000, 30000, 40000, 50000, 60000, 80000,
        /// 100000, 250000, 500000, 1000000, 2000000, 3000000, 5000000, 10000000.
        limit: Option<i64>,
        /// Default: `false`.
        dedicated_ip: Option<bool>,
        /// Default: `false`.
        archiving: Option<bool>,
        /// Default: `false`.
        enforce_2fa: Option<bool>,
        /// Default: `false`.
        enable_sms: Option<bool>,
        /// Default: `1000`.
        sms_limit: Option<i64>,
        /// Dedicated IP pool id from /dedicated_ips/view, since 2026-11-16.
        ip_pool: Option<i64>,
    } -> Subaccount
}

operation! {
    /// Change a subaccount.
    "subaccount" "edit": Post "/subaccount/edit", VendorDocs, Change;
    EditSubaccount {
        /// Its name at the provider.
        id: String,
        /// Fullname.
        fullname: Option<String>,
        /// Mails per cycle; listed values 2000, 5000, 10000, 20000, 30000, 40000, 50000, 60000, 80000,
        /// 100000, 250000, 500000, 1000000, 2000000, 3000000, 5000000, 10000000.
        limit: Option<i64>,
        /// Default: `false`.
        dedicated_ip: Option<bool>,
        /// Default: `false`.
        archiving: Option<bool>,
        /// Default: `false`.
        enforce_2fa: Option<bool>,
        /// Default: `false`.
        enable_sms: Option<bool>,
        /// Default: `1000`.
        sms_limit: Option<i64>,
        /// Dedicated IP pool id from /dedicated_ips/view, since 2026-11-16.
        ip_pool: Option<i64>,
    } -> Subaccount
}

operation! {
    /// Close a subaccount.
    "subaccount" "close": Post "/subaccount/close", VendorDocs, Destroy;
    CloseSubaccount {
        /// Its name at the provider.
        id: String,
        /// Email.
        email: Option<String>,
    } -> String
}

operation! {
    /// Reopen a subaccount.
    ///
    /// Schema says object {id,email,name}; example is a string. Accept both.
    "subaccount" "reopen": Post "/subaccount/reopen", VendorDocs, Change;
    ReopenSubaccount {
        /// Its name at the provider.
        id: String,
        /// Email.
        email: Option<String>,
    } -> Value
}

operation! {
    /// Send the invitation again.
    ///
    /// In docs 3.0.2/3.0.3; no longer listed in 3.0.4.
    /// Deprecated by the vendor.
    "subaccount" "reinvite": Post "/subaccount/reinvite", VendorDocs, Change;
    ReinviteSubaccount {
        /// Email.
        email: String,
    } -> Value
}

operation! {
    /// Usage of subaccounts (unverified).
    ///
    /// Named in the seed only. No stored vendor page has it; one third-party TypeScript client calls
    /// /subaccount/usage. Use plan_used of /subaccounts/search instead. A simulator may answer 404.
    "subaccount" "usage": Post "/subaccounts/usage", Inferred, Read;
    SubaccountsUsage {
    } -> Value
}

operation! {
    /// SMS usage of a subaccount (unverified).
    ///
    /// Named in the seed only; no stored source. /sms/summary with subaccount_id gives the same
    /// information.
    "subaccount" "sms-usage": Post "/subaccount/subaccountsmsusage", Inferred, Read;
    SubaccountSmsUsage {
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> Value
}

record! {
    /// What the API says of: subaccount.
    Subaccount {
        /// Its name at the provider.
        id: String,
        /// Name.
        name: String,
        /// Search results only.
        email: String,
        /// Plan size.
        plan_size: Number,
        /// Plan used.
        plan_used: Number,
        /// Plan remaining.
        plan_remaining: Number,
        /// Capitalised in answers (Active, Closed, Suspended), lower case in the states filter.
        state: String,
        /// Dedicated ip.
        dedicated_ip: bool,
        /// Archiving.
        archiving: bool,
        /// Enforce 2fa.
        enforce_2fa: bool,
        /// Sms enabled.
        sms_enabled: bool,
        /// Sms limit.
        sms_limit: Number,
        /// Dedicated IP pool id, since 2026-11-16.
        ip_pool: Number,
    }
}

record! {
    /// What the API says of: subaccounts.
    Subaccounts {
        /// "" or null on the last page.
        continue_token: String,
        /// How many there are in all.
        total_count: Number,
        /// Names of subaccounts.
        subaccounts: Vec<Subaccount>,
    }
}
