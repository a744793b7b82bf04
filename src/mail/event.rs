//! What went wrong in a session, in words that help the person beside the printer.

use super::{Reply, reply};

/// Something the operator should be able to see about a session.
///
/// Never carries what the client sent: an unrecognized "command" may be half of a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionEvent {
    /// The first octet was the start of a TLS hello.
    TlsOnPlainPort,
    /// Plain text on a port that begins with TLS.
    PlainOnTlsPort,
    /// A web browser, or something else that speaks HTTP.
    SpeaksHttp,
    /// A load balancer that speaks the PROXY protocol.
    SpeaksProxy,
    /// The client was gone before it could be told that its message was accepted.
    AcknowledgementLost,
    /// The TLS handshake failed.
    TlsFailed(TlsFault),
    /// A hello of SSLv2.
    Sslv2Hello,
    /// It was there longest without a mail when all connections were taken.
    MadeRoom,
    /// The client kept its place with commands and had no mail.
    WithoutMail,
    /// Nothing came on an implicit-TLS port.
    SilentOnTlsPort,
    /// Text that arrived in clear behind STARTTLS was thrown away.
    PlaintextDiscarded,
    /// A password was offered, or about to be, without encryption where that is not allowed.
    SecretInClear,
    /// A line that is no command.
    UnknownCommand,
    /// A command line over the limit.
    LineTooLong,
    /// Content or commands came before they could be valid.
    NotSynchronized,
    /// The error budget is used up.
    TooManyErrors,
    /// Nothing was heard for too long.
    Idle,
    /// Message content came below the minimum rate.
    TooSlow,
    /// The message is over the size limit.
    MessageTooBig,
    /// The client left in the middle of a message.
    LostInData,
}

impl SessionEvent {
    /// The word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::TlsOnPlainPort => "tls_on_plain_port",
            Self::PlainOnTlsPort => "plain_on_tls_port",
            Self::SpeaksHttp => "speaks_http",
            Self::SpeaksProxy => "speaks_proxy",
            Self::AcknowledgementLost => "acknowledgement_lost",
            Self::TlsFailed(_) => "tls_failed",
            Self::Sslv2Hello => "sslv2_hello",
            Self::MadeRoom => "made_room",
            Self::WithoutMail => "without_mail",
            Self::SilentOnTlsPort => "silent_on_tls_port",
            Self::PlaintextDiscarded => "plaintext_discarded",
            Self::SecretInClear => "secret_in_clear",
            Self::UnknownCommand => "unknown_command",
            Self::LineTooLong => "line_too_long",
            Self::NotSynchronized => "not_synchronized",
            Self::TooManyErrors => "too_many_errors",
            Self::Idle => "idle",
            Self::TooSlow => "too_slow",
            Self::MessageTooBig => "message_too_big",
            Self::LostInData => "lost_in_data",
        }
    }

    /// What is behind it, where one word has several causes.
    pub fn cause(self) -> Option<&'static str> {
        match self {
            Self::TlsFailed(fault) => Some(fault.word()),
            _ => None,
        }
    }

    /// What it means and what to change on the device.
    pub fn hint(self) -> &'static str {
        match self {
            Self::TlsOnPlainPort => {
                "the client starts TLS at once on a port that begins in clear: set the device to \
                 STARTTLS or to no encryption, or point it at a listener with tls = \"implicit\""
            }
            Self::PlainOnTlsPort => {
                "the client speaks plain SMTP on a port that expects TLS at once: switch the device \
                 to SSL/TLS, or point it at a listener with tls = \"starttls\" or \"none\""
            }
            Self::SpeaksHttp => {
                "a web browser or health check speaks HTTP to the SMTP port: it was disconnected, \
                 because a web page could send mail that way"
            }
            Self::SpeaksProxy => {
                "a load balancer sends PROXY lines, which this listener does not take: it was disconnected, \
                 because its clients would be judged by the balancer's address; switch send-proxy off"
            }
            Self::AcknowledgementLost => {
                "the message was accepted, but the client left before it was told so: it may send the \
                 message again"
            }
            Self::Sslv2Hello => {
                "the client begins with a hello of SSLv2, as clients of before 2010 do: switch SSLv2 (often \"SSLv2 compatible hello\") \
                 off on it and TLS 1.2 on, update it, or use a listener with tls = \"none\" on a trusted network"
            }
            Self::WithoutMail => {
                "the client sent a hundred commands and no mail, and made room for others: a health check that \
                 never ends its session"
            }
            Self::MadeRoom => {
                "all connections of the listener were taken: the one that was there longest without a mail made room; see max_connections"
            }
            Self::TlsFailed(fault) => fault.hint(),
            Self::SilentOnTlsPort => {
                "the client sent nothing on a port that expects TLS at once: it probably expects \
                 STARTTLS or plain SMTP"
            }
            Self::PlaintextDiscarded => {
                "text in clear behind STARTTLS was ignored: a faulty client, or someone in between"
            }
            Self::SecretInClear => {
                "the client offers its password in clear where encryption is required: switch on \
                 TLS on the device, or add its network to clear_auth of the listener"
            }
            Self::UnknownCommand => {
                "not a command that SMTP knows: some other protocol, or a device that lost its place"
            }
            Self::LineTooLong => "a command line over the limit: some other protocol, or an attack",
            Self::NotSynchronized => {
                "input came behind the end of a message or ahead of a reply: the client does not \
                 double leading dots, or does not wait for replies; the message was not taken"
            }
            Self::TooManyErrors => "the client made too many errors and was disconnected",
            Self::Idle => "the client was silent for too long and was disconnected",
            Self::TooSlow => "the client sent message content below min_rate and was disconnected",
            Self::MessageTooBig => {
                "the message is over max_message_size: lower the scan resolution, or send a link"
            }
            Self::LostInData => {
                "the client left in the middle of a message, nothing was accepted: its time-out is \
                 too short, or the network failed"
            }
        }
    }

    /// Whether it is worth a warning, or only a look when something else is wrong.
    pub fn is_notable(self) -> bool {
        !matches!(self, Self::Idle | Self::UnknownCommand | Self::WithoutMail)
    }
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsFault {
    /// The client knows nothing newer than TLS 1.1.
    Version,
    /// No cipher suite in common.
    Suites,
    /// No curve in common for the exchange of keys.
    Curve,
    /// No kind of signature in common.
    Signature,
    /// The client does not believe the certificate.
    Distrusted,
    /// The client went away in the middle.
    Left,
    /// Text in clear instead.
    PlainText,
    /// A hello of SSLv2 instead.
    Sslv2,
    /// It took too long.
    TooSlow,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// The word for the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Suites => "suites",
            Self::Curve => "curve",
            Self::Signature => "signature",
            Self::Distrusted => "distrusted_certificate",
            Self::Left => "client_left",
            Self::PlainText => "plain_text",
            Self::Sslv2 => "sslv2_hello",
            Self::TooSlow => "too_slow",
            Self::Other => "other",
        }
    }

    /// What to change.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Version => {
                "the client knows TLS up to 1.1 only; 1.2 and 1.3 are spoken here: switch 1.2 on on it, update it, or use a listener \
                 with tls = \"none\" on a trusted network"
            }
            Self::Suites => {
                "the client has no cipher suite in common: with TLS 1.2 it needs ECDHE with AES-GCM or ChaCha20; old Windows has them for an \
                 ECDSA certificate only (cert_file, key_file); else update it, or use a plain listener on a trusted network"
            }
            Self::Curve => {
                "the client has no curve in common (X25519, P-256, P-384), or exchanges keys without one: switch ECDHE on on it, update it, or \
                 use a plain listener on a trusted network"
            }
            Self::Signature => {
                "the client knows no signature that fits the certificate: it needs SHA-2 with RSA, or with ECDSA for an ECDSA certificate; \
                 update it, or set cert_file and key_file to a certificate of the other kind"
            }
            Self::Distrusted => {
                "the client does not believe the certificate: import it into the device (data_dir/tls/LISTENER/cert.pem), set cert_file and \
                 key_file to one that it believes, let it check no certificates, and look at its clock"
            }
            Self::Left => {
                "the client went away in the middle of the handshake: many do that where they don't believe the certificate; else the network, or a probe"
            }
            Self::PlainText => {
                "the client goes on in clear where TLS is to start: a faulty client, or someone in between"
            }
            Self::Sslv2 => {
                "the client begins TLS with a hello of SSLv2: switch SSLv2 off and TLS 1.2 on on it, update it, or use a plain listener on a trusted network"
            }
            Self::TooSlow => {
                "the handshake was not done within half a minute: the network, or a client that stalls"
            }
            Self::Other => "the handshake broke off: see the debug log for the library's words",
        }
    }
}

/// What a refused command means for the person beside the device; empty where the reply says it all.
pub fn refusal_hint(refusal: &Reply) -> &'static str {
    let hints: [(&Reply, &str); 15] = [
        (
            &reply::MECHANISM_UNKNOWN,
            "the device wants another AUTH mechanism: choose LOGIN or PLAIN on it, often called \
             \"basic\" or \"weakest\"",
        ),
        (
            &reply::AUTH_NOT_BASE64,
            "the device sends its credentials in a form that is not SMTP AUTH",
        ),
        (
            &reply::SENDER_NEEDS_DOMAIN,
            "set a full sender address (name@domain) on the device",
        ),
        (
            &reply::RECIPIENT_NEEDS_DOMAIN,
            "set full recipient addresses (name@domain) on the device",
        ),
        (
            &reply::RECIPIENT_IS_LITERAL,
            "the provider can't deliver to an IP address: use a domain",
        ),
        (
            &reply::RECIPIENT_UNROUTABLE,
            "the provider can't deliver to a local name: use a full domain",
        ),
        (
            &reply::LOCAL_PART_NOT_ASCII,
            "the provider takes no umlauts and the like before the @",
        ),
        (
            &reply::PARAMETER_UNKNOWN,
            "the client uses an extension that was not offered: profile = \"device\" ignores it",
        ),
        (
            &reply::NESTED_MAIL,
            "the client starts a second message without ending the first: profile = \"device\" \
             tolerates that",
        ),
        (
            &reply::HELO_FIRST,
            "the client sends MAIL without a greeting: profile = \"device\" tolerates that",
        ),
        (
            &reply::HELO_BEFORE_AUTH,
            "the client sends AUTH without a greeting, or without a new one behind STARTTLS: profile = \"device\" \
             tolerates that",
        ),
        (
            &reply::RECIPIENT_IMPOSSIBLE,
            "there can't be such a domain: look for a slip in the address on the device",
        ),
        (
            &reply::DOMAIN_NOT_ASCII,
            "the device sends umlauts in its own character set: write the domain in its xn-- form on it",
        ),
        (&reply::SENDER_QUOTED, QUOTED_HINT),
        (&reply::RECIPIENT_QUOTED, QUOTED_HINT),
    ];
    let general = hints
        .iter()
        .find(|(known, _)| refusal.behind(known).is_some())
        .map_or("", |(_, hint)| *hint);
    let addresses = [
        reply::SENDER_SYNTAX,
        reply::SENDER_NEEDS_DOMAIN,
        reply::RECIPIENT_SYNTAX,
        reply::RECIPIENT_NEEDS_DOMAIN,
    ];
    let address = addresses.iter().find_map(|known| refusal.behind(known));
    let command = refusal.behind(&reply::BAD_SYNTAX);
    match (address, command) {
        (Some(text), _) => address_hint(text).unwrap_or(general),
        (_, Some(text)) if names_a_field(text) => FIELD_HINT,
        _ => general,
    }
}

/// What is wrong with an address that can't be read, where its text shows it.
fn address_hint(text: &str) -> Option<&'static str> {
    let inside = text.rsplit('<').next().unwrap_or(text);
    let inside = inside.split('>').next().unwrap_or(inside).trim();
    if names_a_field(text) {
        Some(FIELD_HINT)
    } else if text.contains([',', ';']) || text.matches('@').count() > 1 {
        Some(
            "several addresses, or a separator, where one address belongs: give the device one address an entry, or \
             a group",
        )
    } else if inside.is_empty() {
        Some("there is no address: an empty entry in the device's address book, or an empty sender")
    } else if inside.contains(' ') {
        Some("there is a blank in the address: take it out on the device")
    } else {
        None
    }
}

/// Whether something like `Bc:` stands in the text, as the name of a field and not as the end of a word.
fn names_a_field(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let names = ["bc:", "bcc:", "cc:", "mailto:", "smtp:"];
    names.iter().any(|name| {
        let mut found = text.match_indices(name);
        found.any(|(at, _)| !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric()))
    })
}

const FIELD_HINT: &str = "\"Bc:\", \"Cc:\", \"mailto:\" and the like do not belong into an address: take it out on the device; hidden \
                          recipients are recipients like others";
const QUOTED_HINT: &str = "an address such as \"a@b c\"@example.com is read as somebody else's by some programs: use a plain one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_fits_the_text_that_was_refused() {
        for (text, word) in [
            ("<a@site.test,b@site.test>", "several"),
            ("<a@site.test>; <b@site.test>", "several"),
            ("<a@site.test> <b@site.test>", "several"),
            ("<Bc:a@site.test>", "Bc:"),
            ("Bcc: a@site.test", "Bc:"),
            ("<ann smith@site.test>", "blank"),
            ("ann@ site.test NOTIFY=NEVER", "blank"),
            ("<>", "no address"),
            ("", "no address"),
            ("<abc:d@site.test>", ""),
        ] {
            let hint = refusal_hint(&reply::RECIPIENT_SYNTAX.quoting(text.as_bytes()));
            assert!(hint.contains(word), "{text}: {hint}");
            assert_eq!(hint.is_empty(), word.is_empty(), "{text}: {hint}");
        }
        let command = reply::BAD_SYNTAX.quoting(b"RCPT Bc:<a@site.test>");
        assert!(refusal_hint(&command).contains("Bc:"));
        let auth = refusal_hint(&reply::HELO_BEFORE_AUTH);
        assert!(auth.contains("AUTH") && !auth.contains("MAIL"), "{auth}");
    }

    #[test]
    fn every_cause_of_a_failed_handshake_has_a_remedy_of_its_own() {
        for (fault, remedy) in [
            (TlsFault::Version, "switch 1.2 on"),
            (TlsFault::Suites, "ECDHE with AES-GCM"),
            (TlsFault::Curve, "X25519, P-256, P-384"),
            (TlsFault::Signature, "SHA-2 with RSA"),
            (TlsFault::Distrusted, "import it into the device"),
            (TlsFault::Left, "don't believe the certificate"),
            (TlsFault::PlainText, "in clear where TLS is to start"),
            (TlsFault::Sslv2, "switch SSLv2 off"),
            (TlsFault::TooSlow, "half a minute"),
            (TlsFault::Other, "see the debug log"),
        ] {
            let hint = SessionEvent::TlsFailed(fault).hint();
            assert!(hint.contains(remedy), "{fault:?}: {hint}");
        }
    }
}
