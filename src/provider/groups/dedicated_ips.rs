//! Addresses of the account's own.

use serde_json::Number;

use super::super::loose::{List, record};
use super::super::operation::operation;

operation! {
    /// List dedicated IP pools.
    ///
    /// Beyond the seed.
    "dedicated-ips" "view": Post "/dedicated_ips/view", VendorDocs, Read;
    ViewDedicatedIps {
    } -> List<DedicatedIp>
}

record! {
    /// What the API says of: dedicated ip.
    DedicatedIp {
        /// Its name at the provider.
        id: Number,
        /// Name.
        name: String,
        /// Ip addresses.
        ip_addresses: Vec<String>,
    }
}
