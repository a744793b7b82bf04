//! Addresses that may use the account.

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Switch the list on or off.
    ///
    /// The reference marks body api_key required here; header auth should work as elsewhere.
    "ip-allow-list" "set": Post "/ip_allow_list", VendorDocs, Destroy;
    SetIpAllowList {
        /// Enabled.
        enabled: Option<bool>,
        /// Which list: SMTP submissions or API calls. One of `smtp`, `api`. Default: `smtp`.
        r#type: Option<String>,
    } -> IpAllowListSwitch
}

operation! {
    /// Show the list.
    "ip-allow-list" "view": Post "/ip_allow_list/view", VendorDocs, Read;
    ViewIpAllowList {
        /// Which list: SMTP submissions or API calls. One of `smtp`, `api`. Default: `smtp`.
        r#type: Option<String>,
    } -> IpAllowList
}

operation! {
    /// Add an entry.
    "ip-allow-list" "add": Post "/ip_allow_list/add", VendorDocs, Change;
    AddIpAllowList {
        /// IPv4 address; the web app also takes CIDR ranges, so expect them here too.
        ip_address: String,
        /// Free text for people.
        description: Option<String>,
        /// Which list: SMTP submissions or API calls. One of `smtp`, `api`. Default: `smtp`.
        r#type: Option<String>,
    } -> AllowedIp
}

operation! {
    /// Change an entry.
    "ip-allow-list" "edit": Post "/ip_allow_list/edit", VendorDocs, Change;
    EditIpAllowList {
        /// IPv4 address; the web app also takes CIDR ranges, so expect them here too.
        ip_address: String,
        /// New ip address.
        new_ip_address: Option<String>,
        /// Free text for people.
        description: Option<String>,
        /// Which list: SMTP submissions or API calls. One of `smtp`, `api`. Default: `smtp`.
        r#type: Option<String>,
    } -> AllowedIp
}

operation! {
    /// Remove an entry.
    "ip-allow-list" "remove": Post "/ip_allow_list/remove", VendorDocs, Destroy;
    RemoveIpAllowList {
        /// The address.
        ip_address: String,
        /// Which list: SMTP submissions or API calls. One of `smtp`, `api`. Default: `smtp`.
        r#type: Option<String>,
    } -> AllowedIp
}

record! {
    /// What the API says of: ip allow list switch.
    IpAllowListSwitch {
        /// Enabled.
        enabled: bool,
    }
}

record! {
    /// What the API says of: ip allow list ip addresse.
    IpAllowListIpAddresse {
        /// The address.
        ip_address ["ip_addres"]: String,
        /// Free text for people.
        description: String,
    }
}

record! {
    /// What the API says of: ip allow list.
    IpAllowList {
        /// Enabled.
        enabled: bool,
        /// Ip addresses.
        ip_addresses: Vec<IpAllowListIpAddresse>,
    }
}

record! {
    /// What the API says of: allowed ip.
    AllowedIp {
        /// The address.
        ip_address ["ip_addres"]: String,
        /// Free text for people.
        description: String,
    }
}
