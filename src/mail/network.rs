//! A network, or an address as a network of one.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Reads `10.0.5.0/24`, `10.0.5.17`, `::1`; an IPv4-mapped one becomes the IPv4 one that it means, because
/// clients' addresses are turned into IPv4 before anything is compared.
pub fn read_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), length) if network.addr().is_ipv6() => {
            let network = Ipv4Net::new(address, length.checked_sub(96)?).ok()?;
            Some(network.into())
        }
        _ => Some(network),
    }
}

/// Whoever has this address: a host of IPv6 has as many addresses as it likes, of one network.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_networks_are_the_ones_they_mean() {
        for (text, read) in [
            ("10.0.5.0/24", Some("10.0.5.0/24")),
            ("10.0.5.17", Some("10.0.5.17/32")),
            (" ::1 ", Some("::1/128")),
            ("::ffff:10.0.0.5", Some("10.0.0.5/32")),
            ("::ffff:192.0.2.0/120", Some("192.0.2.0/24")),
            ("::ffff:0.0.0.0/96", Some("0.0.0.0/0")),
            ("::ffff:10.0.0.0/90", None),
            ("10.0.0.256", None),
            ("printer", None),
            ("", None),
        ] {
            let found = read_network(text).map(|network| network.to_string());
            assert_eq!(found.as_deref(), read, "{text:?}");
        }
    }
}
