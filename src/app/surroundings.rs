//! Detects containers and addresses shared by many clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Addresses that stand for many clients: inside a container, that of its default gateway, which Docker and others
/// put in the place of every client from outside.
pub fn shared_addresses() -> Vec<IpAddr> {
    if !in_container() {
        return Vec::new();
    }
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    default_gateways(&routes)
}

/// Whether this looks like a container.
pub fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists())
        || Path::new("/var/run/secrets/kubernetes.io").exists()
}

/// Who may write to a directory beside its owner and this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Others {
    /// Nobody but the system's administrator.
    Nobody,
    /// A group, or another user.
    Some,
    /// Everybody on this machine.
    Everybody,
}

/// Who else may write to this directory, and so replace what is in it.
///
/// # Errors
/// When it can't be looked at.
pub fn other_writers(directory: &Path) -> std::io::Result<Others> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(directory)?;
    // The kernel gives a process's own entry to whom it runs as.
    let ours = std::fs::metadata("/proc/self").map_or(found.uid(), |own| own.uid());
    Ok(others_of(found.mode(), found.uid(), ours))
}

fn others_of(mode: u32, owner: u32, ours: u32) -> Others {
    match mode {
        mode if mode & 0o002 != 0 => Others::Everybody,
        mode if mode & 0o020 != 0 => Others::Some,
        _ if ![ours, 0].contains(&owner) => Others::Some,
        _ => Others::Nobody,
    }
}

/// Gateways of default routes, from `/proc/net/route`.
fn default_gateways(routes: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (destination, gateway) = (columns.next()?, columns.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        // In the order of this machine's octets, as the kernel writes it.
        let address = Ipv4Addr::from(gateway.to_ne_bytes());
        (destination == "00000000" && !address.is_unspecified()).then_some(IpAddr::V4(address))
    };
    routes.lines().skip(1).filter_map(gateway).collect()
}

/// Lets this process open as many files and connections as it may; returns how many.
pub(super) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    if limit.current == limit.maximum {
        return soft;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, soft, "cannot raise the limit of open files");
            soft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_a_container_is_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        if cfg!(target_endian = "little") {
            assert_eq!(default_gateways(routes), [IpAddr::from([172, 17, 0, 1])]);
        }
        assert!(default_gateways("").is_empty());
    }

    #[test]
    fn whoever_may_write_to_a_directory_is_seen() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        for (mode, others) in [
            (0o700, Others::Nobody),
            (0o755, Others::Nobody),
            (0o770, Others::Some),
            (0o777, Others::Everybody),
            (0o702, Others::Everybody),
        ] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, permissions).expect("ours");
            assert_eq!(
                other_writers(path).expect("it is there"),
                others,
                "{mode:o}"
            );
        }
        assert_eq!(others_of(0o755, 1000, 1001), Others::Some);
        assert_eq!(others_of(0o755, 0, 1001), Others::Nobody, "the system's");
    }
}
