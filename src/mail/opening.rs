//! What a client speaks, as far as its first octets tell.

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// A TLS hello.
    Tls,
    /// A TLS hello of a client that knows nothing newer than TLS 1.1.
    OldTls,
    /// The hello of SSLv2, which old clients begin with even where they know TLS.
    Sslv2,
    /// What a load balancer puts in front of a connection.
    Proxy,
    /// Anything else.
    Text,
}

impl Opening {
    /// Octets that are enough.
    pub const OCTETS: usize = 12;

    /// Whether more octets may tell something else than these do.
    pub fn may_become_another(octets: &[u8]) -> bool {
        let is_start_of = |whole: &[u8]| whole.len() > octets.len() && whole.starts_with(octets);
        match octets {
            [0x16, ..] => octets.len() < Self::OCTETS - 1,
            [0x80..=0xff, ..] => octets.len() < 5 && Self::of(octets) == Self::Text,
            _ => is_start_of(b"PROXY ") || is_start_of(PROXY_V2),
        }
    }

    /// Of the first octets, however few.
    pub fn of(octets: &[u8]) -> Self {
        match octets {
            // A handshake record (RFC 8446 §5.1) with a hello; behind its length stands the newest version that is known,
            // but for TLS 1.3.
            [0x16, _, _, _, _, 1, _, _, _, 3, 0..=2, ..] => Self::OldTls,
            [0x16, ..] => Self::Tls,
            // RFC 5246 appendix E.2: the top bit of a length, the type of message, a version.
            [0x80..=0xff, _, 1, 0, 2, ..] | [0x80..=0xff, _, 1, 3, ..] | [0x80..=0xff, _, 1] => {
                Self::Sslv2
            }
            _ if octets.starts_with(b"PROXY ") || octets.starts_with(PROXY_V2) => Self::Proxy,
            _ => Self::Text,
        }
    }
}

/// The first octets of the binary kind of the PROXY protocol.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octets_tell_what_is_spoken() {
        for (octets, opening) in [
            (
                &b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01\x00"[..],
                Opening::OldTls,
            ),
            (
                b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03\x00",
                Opening::Tls,
            ),
            (b"\x16", Opening::Tls),
            (b"\x80\x2e\x01\x03\x01\x00\x15", Opening::Sslv2),
            (b"\x80\x2e\x01\x00\x02", Opening::Sslv2),
            (b"\x80\x2e\x04", Opening::Text),
            (b"PROXY TCP4 192", Opening::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n", Opening::Proxy),
            (b"\r\nEHLO x", Opening::Text),
            (b"EHLO x\r\n", Opening::Text),
            (b"", Opening::Text),
        ] {
            assert_eq!(Opening::of(octets), opening, "{octets:?}");
        }
    }

    #[test]
    fn what_came_in_pieces_is_told_when_no_more_octet_can_change_it() {
        for whole in [
            &b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01\x00"[..],
            b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03\x00",
            b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x00",
            b"PROXY TCP4 192",
            b"\r\n\r\n\0\r\nQUIT\n",
            b"EHLO x\r\nMAIL",
            b"\x80\x2e\x04\x00\x00\x00\x00\x00",
        ] {
            let first = (1..=whole.len())
                .find(|length| !Opening::may_become_another(&whole[..*length]))
                .expect("the whole tells");
            let told = Opening::of(&whole[..first]);
            assert_eq!(told, Opening::of(whole), "{whole:?} after {first}");
        }
    }
}
