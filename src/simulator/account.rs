//! The sample account: what the provider would know about it.

/// Everything that decides whether a mail is accepted.
#[derive(Clone, Debug)]
pub struct SimulatedAccount {
    /// Keys that may call everything.
    pub api_keys: Vec<String>,
    /// Domains that may be sent from, sub-domains included.
    pub verified_domains: Vec<String>,
    /// User names at the provider's SMTP service.
    pub smtp_users: Vec<String>,
    /// Addresses or domains that get no mail.
    pub suppressions: Vec<String>,
}

impl SimulatedAccount {
    /// The account of demo and tests: the domains and top-level domains that RFC 2606 reserves are
    /// verified, but for `unverified.example`; `suppressed@example.com` gets no mail.
    pub fn sample(api_key: &str) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            api_keys: vec![api_key.to_owned()],
            verified_domains: own(&[
                "example.com",
                "example.org",
                "example.net",
                "example",
                "test",
            ]),
            smtp_users: own(&["printer1"]),
            suppressions: own(&["suppressed@example.com", "suppressed.example"]),
        }
    }

    /// Whether mail may be sent from this domain.
    pub(super) fn may_send_from(&self, domain: &str) -> bool {
        let domain = domain.to_ascii_lowercase();
        let lies_in = |verified: &String| {
            domain == *verified
                || domain
                    .strip_suffix(verified.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        domain != "unverified.example" && self.verified_domains.iter().any(lies_in)
    }

    /// Whether this address gets no mail.
    pub(super) fn is_suppressed(&self, address: &str) -> bool {
        let address = address.to_ascii_lowercase();
        let domain = address.rsplit('@').next().unwrap_or_default();
        self.suppressions
            .iter()
            .any(|entry| *entry == address || *entry == domain)
    }
}
