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
        let end = line
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(line.len());
        let (verb, argument) = line.split_at(end);
        let argument = argument.trim_ascii_start();
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
            _ if is_header_field(verb) => Self::HeaderField,
            _ => Self::Unknown,
        }
    }

    /// Whether a line that asked for this may be content of a message that was refused: no known verb, or not as one
    /// is used.
    pub(super) fn may_be_content(&self) -> bool {
        matches!(
            self,
            Self::Unknown | Self::HeaderField | Self::Wrong(_) | Self::Http | Self::Proxy
        )
    }

    /// Whether `rest` may be the start of a command that a client pipelines behind a message.
    pub(super) fn may_follow_message(rest: &[u8]) -> bool {
        let rest = match rest.iter().position(|octet| !b"\r\n".contains(octet)) {
            Some(start) => &rest[start..],
            None => return true,
        };
        let line_end = memchr::memchr(b'\n', rest);
        // A line ended by LF alone behind a message is how smuggled commands look.
        let bare = |end: usize| end == 0 || rest[end - 1] != b'\r';
        if memchr::memchr_iter(b'\n', rest).any(bare) {
            return false;
        }
        let line = &rest[..line_end.unwrap_or(rest.len())];
        let word_end = line
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(line.len());
        let word = line[..word_end].to_ascii_uppercase();
        let complete = word_end < line.len() || line_end.is_some();
        let verbs = [
            &b"QUIT"[..],
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
        verbs.iter().any(|verb| {
            if complete {
                word == **verb
            } else {
                verb.starts_with(&word)
            }
        })
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

/// Whether a line that begins with this word is a header field (RFC 5322 §2.2).
fn is_header_field(word: &[u8]) -> bool {
    let colon = memchr::memchr(b':', word).unwrap_or(0);
    let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_".contains(octet);
    colon > 0 && word[..colon].iter().all(is_name)
}

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
    let argument = match path_argument(argument, "FROM") {
        Ok(argument) => argument,
        Err(refused) => return refused,
    };
    let (mailbox, parameters) = match parse_path(argument, leniency.sloppy_paths) {
        Ok(read) => read,
        Err(MailboxError::NoDomain) => return Command::Unusable(reply::SENDER_NEEDS_DOMAIN),
        Err(MailboxError::LocalNotAscii) => return Command::Unusable(reply::LOCAL_PART_NOT_ASCII),
        Err(_) => return Command::Wrong(reply::SENDER_SYNTAX),
    };
    if mailbox.as_ref().is_some_and(Mailbox::has_odd_quotes) {
        return Command::Unusable(reply::SENDER_QUOTED);
    }
    if !parameters_are_known(&parameters, leniency) {
        return Command::Wrong(reply::PARAMETER_UNKNOWN);
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
    let argument = match path_argument(argument, "TO") {
        Ok(argument) => argument,
        Err(refused) => return refused,
    };
    match parse_path(argument, leniency.sloppy_paths) {
        Ok((Some(mailbox), parameters)) if parameters_are_known(&parameters, leniency) => {
            if mailbox.has_odd_quotes() {
                Command::Unusable(reply::RECIPIENT_QUOTED)
            } else if mailbox.is_impossible() {
                Command::Unusable(reply::RECIPIENT_IMPOSSIBLE)
            } else if mailbox.is_literal() {
                Command::Unusable(reply::RECIPIENT_IS_LITERAL)
            } else if !mailbox.domain().contains('.') {
                Command::Unusable(reply::RECIPIENT_UNROUTABLE)
            } else {
                Command::Rcpt(mailbox)
            }
        }
        Ok((Some(_), _)) => Command::Wrong(reply::PARAMETER_UNKNOWN),
        Err(MailboxError::NoDomain) => Command::Unusable(reply::RECIPIENT_NEEDS_DOMAIN),
        Err(MailboxError::LocalNotAscii) => Command::Unusable(reply::LOCAL_PART_NOT_ASCII),
        Ok((None, _)) | Err(_) => Command::Wrong(reply::RECIPIENT_SYNTAX),
    }
}

/// What follows `FROM:` or `TO:`, with spaces allowed around the colon.
fn path_argument<'a>(argument: &'a [u8], keyword: &str) -> Result<&'a str, Command<'a>> {
    let wrong = Command::Wrong(reply::BAD_SYNTAX);
    let rest = match argument.split_at_checked(keyword.len()) {
        Some((word, rest)) if word.eq_ignore_ascii_case(keyword.as_bytes()) => rest,
        _ => return Err(wrong),
    };
    match rest.trim_ascii_start().strip_prefix(b":") {
        // Some 8-bit character set: no address that we could name to the provider.
        Some(path) => {
            std::str::from_utf8(path).map_err(|_| Command::Unusable(reply::LOCAL_PART_NOT_ASCII))
        }
        None => Err(wrong),
    }
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
        assert_eq!(parse(b"MAIL TO:<a@b>"), Command::Wrong(reply::BAD_SYNTAX));
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
        ] {
            assert!(Command::may_follow_message(rest.as_bytes()), "{rest:?}");
        }
        for rest in [
            "text\r\n",
            "RCPT TO:<a@b>\r\n",
            "QUITE\r\n",
            "MAIL FROM:<a@b>\n",
            ".\r\n",
            "MAILX",
        ] {
            assert!(!Command::may_follow_message(rest.as_bytes()), "{rest:?}");
        }
    }
}
