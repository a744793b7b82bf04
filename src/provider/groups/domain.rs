//! Domains that may be sent from.

use serde_json::Value;

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// List sender domains.
    "domain" "view": Post "/domain/view", VendorDocs, Read;
    ViewDomains {
        /// Only this one.
        domain: Option<String>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Add a sender domain.
    "domain" "add": Post "/domain/add", VendorDocs, Change;
    AddDomain {
        /// The domain.
        domain: String,
        /// Tracking subdomain.
        tracking_subdomain: Option<String>,
        /// Returnpath subdomain.
        returnpath_subdomain: Option<String>,
        /// Default: `true`.
        auto_verify: Option<bool>,
        /// Default: `true`.
        requisition_ssl: Option<bool>,
        /// Subaccount access.
        subaccount_access: Option<Value>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Check the DNS records now.
    ///
    /// Otherwise checked every 7 minutes.
    "domain" "verify": Post "/domain/verify", VendorDocs, Change;
    VerifyDomain {
        /// The domain.
        domain: String,
        /// Default: `true`.
        requisition_ssl: Option<bool>,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Remove a sender domain.
    ///
    /// Answers the remaining list.
    "domain" "remove": Post "/domain/remove", VendorDocs, Destroy;
    RemoveDomain {
        /// The domain.
        domain: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Rename the tracking subdomain.
    "domain" "tracking": Post "/domain/tracking", VendorDocs, Change;
    EditTracking {
        /// The domain.
        domain: String,
        /// Old subdomain.
        old_subdomain: String,
        /// New subdomain.
        new_subdomain: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Rename the returnpath subdomain.
    "domain" "returnpath": Post "/domain/returnpath", VendorDocs, Change;
    EditReturnpath {
        /// The domain.
        domain: String,
        /// Old subdomain.
        old_subdomain: String,
        /// New subdomain.
        new_subdomain: String,
        /// Act on this subaccount with a master-account key. Ids come from /subaccounts/search.
        subaccount_id: Option<String>,
    } -> DomainList
}

operation! {
    /// Let subaccounts use a domain.
    ///
    /// Beyond the seed.
    "domain" "subaccount-access": Post "/domain/subaccount_access", VendorDocs, Destroy;
    EditDomainAccess {
        /// The domain.
        domain: String,
        /// Names of subaccounts.
        subaccounts: Vec<String>,
        /// Default: `false`.
        future_subaccounts: Option<bool>,
    } -> DomainAccess
}

record! {
    /// What the API says of: domain domain.
    DomainDomain {
        /// Fulldomain.
        fulldomain: String,
        /// The domain.
        domain: String,
        /// Suffix.
        suffix: String,
        /// Subdomain.
        subdomain: String,
        /// Dkim selector.
        dkim_selector: String,
        /// Dkim value.
        dkim_value: String,
        /// Text of the DNS check; empty when fine.
        dkim_status: String,
        /// Dkim verified.
        dkim_verified: bool,
        /// Rpath selector.
        rpath_selector: String,
        /// Rpath value.
        rpath_value: String,
        /// Rpath status.
        rpath_status: String,
        /// Rpath verified.
        rpath_verified: bool,
        /// DNS automation link; "unavailable" when more than one domain is returned by view.
        setup_link: String,
    }
}

record! {
    /// What the API says of: domain tracker.
    DomainTracker {
        /// Fulldomain.
        fulldomain: String,
        /// Subdomain.
        subdomain: String,
        /// The domain.
        domain: String,
        /// Suffix.
        suffix: String,
        /// Cname value.
        cname_value: String,
        /// May hold several lines.
        cname_status: String,
        /// Cname verified.
        cname_verified: bool,
        /// Enabled.
        enabled: bool,
    }
}

record! {
    /// What the API says of: subaccount access.
    SubaccountAccess {
        /// Names of subaccounts.
        subaccounts: Vec<String>,
        /// Future subaccounts.
        future_subaccounts: bool,
    }
}

record! {
    /// What the API says of: domain.
    Domain {
        /// The domain.
        domain: DomainDomain,
        /// Trackers.
        trackers: Vec<DomainTracker>,
        /// Subaccount access.
        subaccount_access: SubaccountAccess,
        /// View only: delegated by the master account.
        from_master: bool,
    }
}

record! {
    /// What the API says of: domain list.
    DomainList {
        /// Domains.
        domains: Vec<Domain>,
    }
}

record! {
    /// What the API says of: domain access.
    DomainAccess {
        /// The domain.
        domain: String,
        /// Names of subaccounts.
        subaccounts: Vec<String>,
        /// Future subaccounts.
        future_subaccounts: bool,
    }
}
