//! One complete command line, read into what it asks for.
//!
//! Verbs are case-folded and spaces between words don't count. Nothing is decided here: whether a
//! command is possible now is the machine's business.

use crate::mail::{Mailbox, MailboxError, Reply, ReversePath, reply};

use super::Leniency;
use super::path::{Parameter, parse_path};

/// A parsed command.
#[derive(Debug, PartialEq)]
pub(super) enum Command<'a> {
    Helo(String),
    Ehlo(String),
    Mail {
        reverse_path: ReversePath,
        size: Option<u64>,
    },
    Rcpt(Mailbox),
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls {
        parameter: bool,
    },
    Auth {
        mechanism: &'a str,
        initial: Option<&'a [u8]>,
    },
    Blank,
    /// A known verb with a wrong argument.
    Wrong(Reply),
    /// A well-formed address that nobody can use: no fault of the protocol.
    Unusable(Reply),
    /// Not SMTP, but HTTP.
    Http,
    /// The PROXY protocol of load balancers.
    Proxy,
    /// No command, but a field of a message header.
    HeaderField,
    /// No verb at all.
    Unknown,
}

impl<'a> Command<'a> {
    pub(super) fn parse(line: &'a [u8], leniency: &Leniency) -> Self {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Self::Blank;
        }
        let (verb, argument) = words(line);
        // A page may use any word as its method, ours, too.
        if is_request_line(line) {
            return Self::Http;
        }
        // The line of a balancer; a NUL alone is a line of the binary kind, however the network cut it.
        if verb.eq_ignore_ascii_case(b"PROXY") || line == b"\0" {
            return Self::Proxy;
        }
        match verb.to_ascii_uppercase().as_slice() {
            b"HELO" => Self::Helo(helo_name(argument)),
            b"EHLO" => Self::Ehlo(helo_name(argument)),
            b"MAIL" => mail(argument, leniency),
            b"RCPT" => rcpt(argument, leniency),
            b"DATA" => Self::Data,
            b"BDAT" => Self::Bdat,
            b"RSET" => Self::Rset,
            b"NOOP" => Self::Noop,
            b"VRFY" => Self::Vrfy,
            b"HELP" => Self::Help,
            b"QUIT" => Self::Quit,
            b"STARTTLS" => Self::StartTls {
                parameter: !argument.is_empty(),
            },
            b"AUTH" => auth(argument),
            _ if is_http(line) => Self::Http,
            _ if is_header_field(line) => Self::HeaderField,
            _ => Self::Unknown,
        }
    }

    /// Whether a line is a command and can't be a sentence that begins with the same word.
    pub(super) fn is_unmistakable(line: &[u8]) -> bool {
        let (verb, argument) = words(line);
        let count = argument
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .count();
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" | b"HELO" | b"NOOP" | b"VRFY" | b"STARTTLS" => true,
            b"MAIL" => path_argument(argument, "FROM").is_some(),
            b"RCPT" => path_argument(argument, "TO").is_some(),
            b"DATA" | b"RSET" | b"QUIT" => count == 0,
            b"HELP" => count <= 1,
            b"AUTH" => (1..=2).contains(&count),
            _ => false,
        }
    }

    /// Whether `rest` may be the start of what a client pipelines behind a message. With `starttls`, STARTTLS is
    /// followed, and what stands behind it is thrown away unread.
    pub(super) fn may_follow_message(rest: &[u8], starttls: bool) -> bool {
        let rest = match rest.iter().position(|octet| !b"\r\n".contains(octet)) {
            Some(start) => &rest[start..],
            None => return true,
        };
        let lines = rest.split_inclusive(|octet| *octet == b'\n');
        for (index, line) in lines.enumerate() {
            let Some(ended) = line.strip_suffix(b"\n") else {
                return index > 0 || Self::may_become_command(line);
            };
            // A line ended by LF alone behind a message is how smuggled commands look.
            if !ended.ends_with(b"\r") {
                return false;
            }
            if index == 0 && !(is_behind_message(words(line).0) && Self::is_unmistakable(line)) {
                return false;
            }
            if starttls && line.trim_ascii().eq_ignore_ascii_case(b"STARTTLS") {
                return true;
            }
        }
        true
    }

    /// The same of a line whose end has not arrived.
    fn may_become_command(line: &[u8]) -> bool {
        let verb = words(line).0;
        if verb.len() < line.len() {
            return is_behind_message(verb);
        }
        let verb = verb.to_ascii_uppercase();
        BEHIND_MESSAGE.iter().any(|whole| whole.starts_with(&verb))
    }
}

/// Whether the last word is a version of HTTP.
fn is_request_line(line: &[u8]) -> bool {
    let last = line
        .rsplit(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    let version = last.split_at_checked(5);
    version.is_some_and(|(name, number)| {
        let number = number
            .iter()
            .all(|octet| octet.is_ascii_digit() || *octet == b'.');
        name.eq_ignore_ascii_case(b"HTTP/") && number
    })
}

/// The first word of a line, and what follows the space behind it.
fn words(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let (verb, argument) = line.split_at(end);
    (verb, argument.trim_ascii_start())
}

fn is_behind_message(verb: &[u8]) -> bool {
    BEHIND_MESSAGE
        .iter()
        .any(|known| known.eq_ignore_ascii_case(verb))
}

/// Whether a line has the shape of a header field (RFC 5322 §2.2), with the space before its colon that some write.
fn is_header_field(line: &[u8]) -> bool {
    let name = line
        .iter()
        .position(|octet| !octet.is_ascii_graphic() || *octet == b':')
        .unwrap_or(line.len());
    name > 0 && line[name..].trim_ascii_start().starts_with(b":")
}

/// What may be pipelined behind a message: it changes nothing that the message's fate could depend on.
const BEHIND_MESSAGE: [&[u8]; 10] = [
    b"QUIT",
    b"RSET",
    b"NOOP",
    b"MAIL",
    b"EHLO",
    b"HELO",
    b"VRFY",
    b"HELP",
    b"AUTH",
    b"STARTTLS",
];

/// Keeps what is safe in a `Received:` header and in a log line.
fn helo_name(argument: &[u8]) -> String {
    argument
        .trim_ascii()
        .iter()
        .take(255)
        .map(|octet| match octet {
            b'.' | b'-' | b'_' | b':' | b'[' | b']' => char::from(*octet),
            octet if octet.is_ascii_alphanumeric() => char::from(*octet),
            _ => '?',
        })
        .collect()
}

fn mail<'a>(argument: &'a [u8], leniency: &Leniency) -> Command<'a> {
    let Some(path) = path_argument(argument, "FROM") else {
        let line = [&b"MAIL "[..], argument].concat();
        return Command::Wrong(reply::BAD_SYNTAX.quoting(&line));
    };
    let text = String::from_utf8_lossy(path);
    let (mailbox, parameters) = match parse_path(&text, leniency.sloppy_paths) {
        Ok(read) => read,
        Err(error) => {
            let words = (&reply::SENDER_NEEDS_DOMAIN, &reply::SENDER_SYNTAX);
            return unreadable(error, path, words);
        }
    };
    if mailbox.as_ref().is_some_and(Mailbox::has_odd_quotes) {
        return Command::Unusable(reply::SENDER_QUOTED.quoting(path));
    }
    if !parameters_are_known(&parameters, leniency) {
        return Command::Wrong(reply::PARAMETER_UNKNOWN.quoting(path));
    }
    let size = parameters
        .iter()
        .find(|parameter| parameter.keyword.eq_ignore_ascii_case("SIZE"))
        .and_then(|parameter| parameter.value)
        .filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))
        // More digits than fit are more octets than fit.
        .map(|value| value.parse().unwrap_or(u64::MAX));
    Command::Mail {
        reverse_path: mailbox.map_or(ReversePath::Null, ReversePath::Mailbox),
        size,
    }
}

fn rcpt<'a>(argument: &'a [u8], leniency: &Leniency) -> Command<'a> {
    let Some(path) = path_argument(argument, "TO") else {
        let line = [&b"RCPT "[..], argument].concat();
        return Command::Wrong(reply::BAD_SYNTAX.quoting(&line));
    };
    let text = String::from_utf8_lossy(path);
    match parse_path(&text, leniency.sloppy_paths) {
        Err(error) => {
            let words = (&reply::RECIPIENT_NEEDS_DOMAIN, &reply::RECIPIENT_SYNTAX);
            unreadable(error, path, words)
        }
        Ok((None, _)) => Command::Wrong(reply::RECIPIENT_SYNTAX.quoting(path)),
        Ok((Some(_), parameters)) if !parameters_are_known(&parameters, leniency) => {
            Command::Wrong(reply::PARAMETER_UNKNOWN.quoting(path))
        }
        Ok((Some(mailbox), _)) => match undeliverable(&mailbox) {
            Some(refusal) => Command::Unusable(refusal.quoting(path)),
            None => Command::Rcpt(mailbox),
        },
    }
}

/// Why nobody can be reached at an address.
fn undeliverable(mailbox: &Mailbox) -> Option<Reply> {
    if mailbox.has_odd_quotes() {
        Some(reply::RECIPIENT_QUOTED)
    } else if mailbox.is_literal() {
        Some(reply::RECIPIENT_IS_LITERAL)
    } else if mailbox.is_impossible() {
        Some(reply::RECIPIENT_IMPOSSIBLE)
    } else if !mailbox.domain().contains('.') {
        Some(reply::RECIPIENT_UNROUTABLE)
    } else {
        None
    }
}

/// Why an address can't be read, in the client's own words.
fn unreadable<'a>(error: MailboxError, path: &[u8], words: (&Reply, &Reply)) -> Command<'a> {
    let (needs_domain, syntax) = words;
    match error {
        MailboxError::NoDomain => Command::Unusable(needs_domain.quoting(path)),
        MailboxError::LocalNotAscii => Command::Unusable(reply::LOCAL_PART_NOT_ASCII.quoting(path)),
        MailboxError::DomainNotAscii => Command::Unusable(reply::DOMAIN_NOT_ASCII.quoting(path)),
        MailboxError::Invisible | MailboxError::TooLong | MailboxError::Syntax => {
            Command::Wrong(syntax.quoting(path))
        }
    }
}

/// What follows `FROM:` or `TO:`, with spaces allowed around the colon.
fn path_argument<'a>(argument: &'a [u8], keyword: &str) -> Option<&'a [u8]> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    if !word.eq_ignore_ascii_case(keyword.as_bytes()) {
        return None;
    }
    rest.trim_ascii_start().strip_prefix(b":")
}

/// A request line: a browser can be made to send mail if the rest of its request is read as SMTP.
fn is_http(line: &[u8]) -> bool {
    let methods = [
        &b"GET "[..],
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"OPTIONS ",
        b"CONNECT ",
        b"DELETE ",
        b"PATCH ",
    ];
    let version = line.windows(8).any(|window| {
        window.eq_ignore_ascii_case(b" HTTP/1.") || window.eq_ignore_ascii_case(b" HTTP/2.")
    });
    version || methods.iter().any(|method| line.starts_with(method))
}

/// `SIZE`, `BODY`, `AUTH` and the DSN parameters carry nothing that we act on (but for `SIZE`).
fn parameters_are_known(parameters: &[Parameter<'_>], leniency: &Leniency) -> bool {
    const KNOWN: [&str; 7] = ["SIZE", "BODY", "AUTH", "RET", "ENVID", "NOTIFY", "ORCPT"];
    leniency.unknown_parameters
        || parameters.iter().all(|parameter| {
            KNOWN
                .iter()
                .any(|known| known.eq_ignore_ascii_case(parameter.keyword))
        })
}

fn auth(argument: &[u8]) -> Command<'_> {
    let mut words = argument
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match words.next().map(std::str::from_utf8) {
        Some(Ok(mechanism)) => Command::Auth {
            mechanism,
            initial: words.next(),
        },
        _ => Command::Wrong(reply::BAD_SYNTAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_folded_and_spaces_between_words_do_not_count() {
        let parse = |line| Command::parse(line, &Leniency::DEVICE);
        let mail = Command::Mail {
            reverse_path: ReversePath::Mailbox("a@b".parse().expect("an address")),
            size: Some(7),
        };
        assert_eq!(parse(b"mail from : <a@b>  size=7 "), mail);
        assert_eq!(parse(b"  EHLO B\xfcro_1 "), Command::Ehlo("B?ro_1".into()));
        assert_eq!(
            parse(b"ehlo FE80::1c2b"),
            Command::Ehlo("FE80::1c2b".into())
        );
        assert_eq!(
            parse(b"AUTH PLAIN  AAA="),
            Command::Auth {
                mechanism: "PLAIN",
                initial: Some(b"AAA=")
            }
        );
        let quoted = reply::BAD_SYNTAX.quoting(b"MAIL TO:<a@b>");
        assert_eq!(parse(b"MAIL TO:<a@b>"), Command::Wrong(quoted));
        assert_eq!(parse(b"\x16\x03\x01"), Command::Unknown);
    }

    #[test]
    fn only_a_few_commands_may_stand_behind_a_message() {
        for rest in [
            "",
            "Q",
            "QUIT\r\n",
            "quit\r\n",
            "MAIL FROM:<a@b>\r\n",
            "RSET\r\n",
            "\r\n",
            "mail",
            "VRFY a\r\n",
            "AUTH PLAIN AGEAYg==\r\n",
            "STARTTLS\r\n",
            "QUIT \r\n",
            "HELP MAIL\r\n",
        ] {
            assert!(
                Command::may_follow_message(rest.as_bytes(), false),
                "{rest:?}"
            );
        }
        for rest in [
            "text\r\n",
            "RCPT TO:<a@b>\r\n",
            "QUITE\r\n",
            "MAIL FROM:<a@b>\n",
            ".\r\n",
            "MAILX",
            "HELP me with this\r\n",
            "Mail the report\r\n",
            "Quit smoking\r\n",
            "STARTTLS\r\nx\n",
        ] {
            assert!(
                !Command::may_follow_message(rest.as_bytes(), false),
                "{rest:?}"
            );
        }
        let hello = b"NOOP\r\nSTARTTLS\r\n\x16\x03\x01\nx";
        assert!(Command::may_follow_message(hello, true));
        let hello = b"NOOP\r\nSTARTTLS\r\n\x16\x03\x01\nx";
        assert!(Command::may_follow_message(hello, true));
    }
}
