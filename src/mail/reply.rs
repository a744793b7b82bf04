//! Every SMTP reply there is.
//!
//! A reply is lower case, one clause, and says within its first 40 characters which of sender,
//! recipient, message or session is at fault and what the client can do: a printer's panel shows
//! no more. 5xx is policy, 4xx is our own disk or limits. Only the client's own words are echoed,
//! and only after they have been parsed.
//!
//! RFC 5321 §4.2, RFC 3463

#![allow(missing_docs, reason = "a reply constant is documented by its text")]

use std::borrow::Cow;
use std::fmt;

use super::{Mailbox, SpoolId};

/// A code, an optional enhanced status and a text of one or more lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    code: u16,
    enhanced: Option<(u8, u8, u8)>,
    text: Cow<'static, str>,
}

impl Reply {
    /// The same with the client's own words behind it (see [`quoted`]).
    pub fn quoting(&self, words: &[u8]) -> Self {
        let words = quoted(words);
        if words.is_empty() {
            return self.clone();
        }
        Self {
            text: Cow::Owned(format!("{}: {words}", self.text)),
            ..self.clone()
        }
    }

    /// The words behind `known`; `None` where this says something else.
    pub fn behind<'a>(&'a self, known: &Self) -> Option<&'a str> {
        if (self.code, self.enhanced) != (known.code, known.enhanced) {
            return None;
        }
        let rest = self.text.strip_prefix(&*known.text)?;
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix(": ")
        }
    }

    /// A reply whose text never varies.
    pub const fn fixed(code: u16, enhanced: (u8, u8, u8), text: &'static str) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            text: Cow::Borrowed(text),
        }
    }

    /// A reply without enhanced status: greetings, challenges, EHLO answers.
    pub const fn plain(code: u16, text: &'static str) -> Self {
        Self {
            code,
            enhanced: None,
            text: Cow::Borrowed(text),
        }
    }

    fn told(code: u16, enhanced: (u8, u8, u8), text: String) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            text: Cow::Owned(text),
        }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether the client is told that it got what it asked for (2xx or 3xx).
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Appends the reply as it goes over the wire.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some((class, subject, detail)) = self.enhanced {
                out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        f.write_str(&self.text.replace('\n', " | "))
    }
}

/// The banner; old clients look for the word ESMTP in it.
pub fn greeting(hostname: &str) -> Reply {
    Reply {
        code: 220,
        enhanced: None,
        text: Cow::Owned(format!("{hostname} ESMTP ready")),
    }
}

/// The one-line answer to HELO: our own name first, or sendmail believes that mail loops.
pub fn helo(hostname: &str) -> Reply {
    Reply {
        code: 250,
        enhanced: None,
        text: Cow::Owned(hostname.to_owned()),
    }
}

/// The answer to EHLO: our own name, then one extension a line.
pub fn ehlo(hostname: &str, extensions: &[String]) -> Reply {
    let mut text = hostname.to_owned();
    for extension in extensions {
        text.push('\n');
        text.push_str(extension);
    }
    Reply {
        code: 250,
        enhanced: None,
        text: Cow::Owned(text),
    }
}

/// The message is durable and ours from here on.
pub fn queued(id: &SpoolId) -> Reply {
    Reply::told(250, (2, 0, 0), format!("queued as {id}"))
}

/// The message, or what MAIL announced, is over the limit (octets).
pub fn message_too_big(limit: u64, size: u64) -> Reply {
    Reply::told(
        552,
        (5, 3, 4),
        format!("message too big: limit {limit}, size {size} octets"),
    )
}

/// The message is so far over the limit (octets) that nobody read it to its end.
pub fn message_far_too_big(limit: u64, read: u64) -> Reply {
    Reply::told(
        552,
        (5, 3, 4),
        format!("message too big: limit {limit}, size over {read} octets"),
    )
}

/// The header block is over the limit (octets).
pub fn header_too_big(limit: usize) -> Reply {
    Reply::told(
        552,
        (5, 3, 4),
        format!("message header over {limit} octets"),
    )
}

/// The device may not send as this envelope sender.
pub fn sender_not_allowed(sender: &Mailbox) -> Reply {
    Reply::told(550, (5, 7, 1), format!("sender {sender} not allowed"))
}

/// The device may not send as what the message's From or Sender header says.
pub fn header_sender_not_allowed(sender: &Mailbox) -> Reply {
    Reply::told(550, (5, 7, 1), format!("header From {sender} not allowed"))
}

/// No domain of the account that is verified covers the envelope sender.
pub fn sender_not_verified(sender: &Mailbox) -> Reply {
    let text = format!("sender domain is not verified for this account: {sender}");
    Reply::told(550, (5, 7, 1), text)
}

/// The same, for an address of the message's From or Sender header.
pub fn header_sender_not_verified(sender: &Mailbox) -> Reply {
    let text = format!("header From domain is not verified for this account: {sender}");
    Reply::told(550, (5, 7, 1), text)
}

/// The account's list of allowed senders speaks against the envelope sender.
pub fn sender_not_listed(sender: &Mailbox) -> Reply {
    let text = format!("sender not allowed by the account's list: {sender}");
    Reply::told(550, (5, 7, 1), text)
}

/// The same, for an address of the message's From or Sender header.
pub fn header_sender_not_listed(sender: &Mailbox) -> Reply {
    let text = format!("header From not allowed by the account's list: {sender}");
    Reply::told(550, (5, 7, 1), text)
}

/// The provider sends nothing to this address.
pub fn recipient_suppressed(recipient: &Mailbox, reason: &str) -> Reply {
    let text = format!("recipient is suppressed ({reason}): {recipient}");
    Reply::told(550, (5, 7, 1), text)
}

/// The account may send to listed recipients only.
pub fn recipient_not_listed(recipient: &Mailbox) -> Reply {
    let text = format!("recipient not on the account's list: {recipient}");
    Reply::told(550, (5, 7, 1), text)
}

/// A client's text as it may stand in a reply or a log line: printable, one line, at most 80 characters.
pub fn quoted(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets.trim_ascii() {
        match octet {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.extend(octet.escape_ascii().map(char::from)),
        }
        if text.len() > QUOTED_MAX {
            text.truncate(QUOTED_MAX - 3);
            return text + "...";
        }
    }
    text
}

const QUOTED_MAX: usize = 80;

/// The From (or Sender) header shows different readers different senders; `text` is [`quoted`].
pub fn from_unreadable(text: &str) -> Reply {
    Reply::told(
        550,
        (5, 6, 0),
        format!("message From header is unreadable: {text}"),
    )
}

/// The message goes round in a circle: it has come by so many servers, and so often through this one.
pub fn looping(received: usize, here: usize) -> Reply {
    let text = format!("message loops: {received} Received headers, {here} passes of this gateway");
    Reply::told(554, (5, 4, 6), text)
}

/// With `mismatch = "refuse"`: header recipients and envelope differ.
pub fn recipients_mismatch(addresses: &[Mailbox]) -> Reply {
    let mut named: Vec<&str> = addresses.iter().map(Mailbox::as_str).take(10).collect();
    if addresses.len() > named.len() {
        named.push("and more");
    }
    let named = named.join(", ");
    Reply::told(550, (5, 6, 0), format!("To/Cc differ from RCPT: {named}"))
}

/// 4xx for the recipients beyond the limit: the accepted ones stand.
pub fn too_many_recipients(limit: usize) -> Reply {
    Reply::told(
        452,
        (4, 5, 3),
        format!("too many recipients, limit is {limit}"),
    )
}

// The constants below are their own documentation: name, code and text stand side by side.

pub const BYE: Reply = Reply::fixed(221, (2, 0, 0), "bye");
pub const OK: Reply = Reply::fixed(250, (2, 0, 0), "ok");
pub const SENDER_OK: Reply = Reply::fixed(250, (2, 1, 0), "sender ok");
pub const RECIPIENT_OK: Reply = Reply::fixed(250, (2, 1, 5), "recipient ok");
pub const VRFY_CANNOT: Reply = Reply::fixed(252, (2, 5, 0), "cannot verify, send it and see");
pub const HELP: Reply = Reply::fixed(
    214,
    (2, 0, 0),
    "commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS AUTH",
);
pub const START_MAIL_INPUT: Reply = Reply::plain(354, "end data with <CRLF>.<CRLF>");
pub const READY_FOR_TLS: Reply = Reply::fixed(220, (2, 0, 0), "ready to start TLS");
pub const SIGNED_IN: Reply = Reply::fixed(235, (2, 7, 0), "authenticated");
/// "Username:"; a Xerox accepts no other text.
pub const ASK_USERNAME: Reply = Reply::plain(334, "VXNlcm5hbWU6");
/// "Password:".
pub const ASK_PASSWORD: Reply = Reply::plain(334, "UGFzc3dvcmQ6");
/// The space behind the code matters: clients wait for it (RFC 4954 §4).
pub const ASK_RESPONSE: Reply = Reply::plain(334, "");

pub const CLOSING: Reply = Reply::fixed(421, (4, 3, 2), "gateway is shutting down, try again soon");
pub const IDLE: Reply = Reply::fixed(421, (4, 4, 2), "session idle for too long, closing");
pub const TOO_SLOW: Reply = Reply::fixed(421, (4, 4, 2), "message came too slowly, closing");
pub const TOO_MANY_ERRORS: Reply = Reply::fixed(421, (4, 7, 0), "too many errors in this session");
pub const TOO_MANY_CONNECTIONS: Reply =
    Reply::fixed(421, (4, 3, 2), "too many connections, try again soon");
pub const TOO_MANY_FROM_ADDRESS: Reply = Reply::fixed(
    421,
    (4, 7, 0),
    "too many connections from your address, try again soon",
);
pub const SPOOL_UNAVAILABLE: Reply =
    Reply::fixed(452, (4, 3, 1), "cannot store the message now, try again");
pub const SPOOL_FULL: Reply =
    Reply::fixed(452, (4, 3, 1), "gateway storage is full, try again later");
pub const DEVICE_QUOTA: Reply = Reply::fixed(
    452,
    (4, 3, 1),
    "too much mail of this device is waiting, try again later",
);
pub const ACCOUNT_QUOTA: Reply = Reply::fixed(
    452,
    (4, 3, 1),
    "too much mail of this account waits, try again later",
);
pub const RULES_UNKNOWN: Reply = Reply::fixed(
    451,
    (4, 3, 0),
    "session: account rules are not known yet, try again",
);
pub const RULES_STALE: Reply = Reply::fixed(
    451,
    (4, 3, 0),
    "session: account rules are too old, try again later",
);
pub const TOO_MANY_GUESSES: Reply =
    Reply::fixed(454, (4, 7, 0), "too many wrong passwords, wait a minute");
pub const SIGN_IN_UNAVAILABLE: Reply =
    Reply::fixed(454, (4, 7, 0), "cannot check the password now, try again");

pub const UNKNOWN_COMMAND: Reply = Reply::fixed(500, (5, 5, 2), "command not recognized");
pub const LINE_TOO_LONG: Reply = Reply::fixed(500, (5, 5, 2), "line too long");
pub const BAD_SYNTAX: Reply = Reply::fixed(501, (5, 5, 4), "command syntax is wrong");
pub const STARTTLS_PARAMETER: Reply = Reply::fixed(501, (5, 5, 4), "STARTTLS takes no parameter");
pub const NOT_OFFERED: Reply = Reply::fixed(502, (5, 5, 1), "command not offered here");
pub const HELO_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "send HELO or EHLO first");
pub const MAIL_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "send MAIL first");
pub const RCPT_FIRST: Reply = Reply::fixed(503, (5, 5, 1), "no valid recipients, send RCPT first");
pub const NESTED_MAIL: Reply = Reply::fixed(503, (5, 5, 1), "transaction already open, send RSET");
pub const TLS_ALREADY: Reply = Reply::fixed(503, (5, 5, 1), "TLS is already on");
pub const SIGNED_IN_ALREADY: Reply = Reply::fixed(503, (5, 5, 1), "already authenticated");
pub const AUTH_IN_TRANSACTION: Reply =
    Reply::fixed(503, (5, 5, 1), "AUTH not possible during a transaction");
pub const MECHANISM_UNKNOWN: Reply =
    Reply::fixed(504, (5, 5, 4), "AUTH mechanism unknown, use LOGIN or PLAIN");
pub const AUTH_CANCELLED: Reply = Reply::fixed(501, (5, 7, 0), "authentication cancelled");
pub const AUTH_NOT_BASE64: Reply = Reply::fixed(501, (5, 5, 2), "authentication data is not valid");
pub const AUTH_NEEDS_TLS: Reply =
    Reply::fixed(538, (5, 7, 11), "encryption required to authenticate");
pub const SIGN_IN_REFUSED: Reply = Reply::fixed(535, (5, 7, 8), "username or password is wrong");
pub const USER_BLOCKED_AT_SIGN_IN: Reply =
    Reply::fixed(535, (5, 7, 8), "SMTP user is blocked by the account");
pub const USER_BLOCKED: Reply = Reply::fixed(
    550,
    (5, 7, 1),
    "session's SMTP user is blocked by the account",
);
pub const USER_UNKNOWN_AT_SIGN_IN: Reply =
    Reply::fixed(535, (5, 7, 8), "SMTP user is unknown to the account");
pub const USER_UNKNOWN: Reply = Reply::fixed(
    550,
    (5, 7, 1),
    "session's SMTP user is unknown to the account",
);
pub const ADDRESS_NOT_ALLOWED: Reply = Reply::fixed(
    550,
    (5, 7, 1),
    "session from an address that is not allowed",
);
pub const TLS_REQUIRED: Reply = Reply::fixed(
    530,
    (5, 7, 0),
    "session must be encrypted, send STARTTLS first",
);
pub const SIGN_IN_REQUIRED: Reply = Reply::fixed(530, (5, 7, 0), "authentication required");
pub const SENDER_SYNTAX: Reply = Reply::fixed(501, (5, 1, 7), "sender address is not valid");
pub const SENDER_NEEDS_DOMAIN: Reply = Reply::fixed(501, (5, 1, 7), "sender needs a domain");
pub const RECIPIENT_SYNTAX: Reply = Reply::fixed(501, (5, 1, 3), "recipient address is not valid");
pub const RECIPIENT_NEEDS_DOMAIN: Reply = Reply::fixed(501, (5, 1, 3), "recipient needs a domain");
pub const RECIPIENT_IS_LITERAL: Reply = Reply::fixed(
    550,
    (5, 1, 2),
    "recipient domain is an IP address, cannot be routed",
);
pub const RECIPIENT_UNROUTABLE: Reply = Reply::fixed(
    550,
    (5, 1, 2),
    "recipient domain has no dot, cannot be routed",
);
pub const DOMAIN_NOT_ASCII: Reply = Reply::fixed(
    550,
    (5, 6, 7),
    "address domain is in no known character set",
);
pub const HELO_BEFORE_AUTH: Reply = Reply::fixed(503, (5, 5, 1), "send EHLO before AUTH");
pub const TOO_MANY_COMMANDS: Reply = Reply::fixed(
    421,
    (4, 7, 0),
    "session has too many commands and no message",
);
pub const TOO_MANY_SENDER_HEADERS: Reply = Reply::fixed(
    550,
    (5, 6, 0),
    "message has too many From or Sender headers",
);
pub const SENDER_QUOTED: Reply = Reply::fixed(
    501,
    (5, 1, 7),
    "sender has signs in quotes that mail programs misread",
);
pub const RECIPIENT_IMPOSSIBLE: Reply =
    Reply::fixed(553, (5, 1, 2), "recipient domain can't exist");
pub const RECIPIENT_QUOTED: Reply = Reply::fixed(
    553,
    (5, 1, 3),
    "recipient has signs in quotes that are misread",
);
pub const TOO_MANY_ADDRESS_HEADERS: Reply =
    Reply::fixed(550, (5, 6, 0), "message has too many To, Cc or Bcc headers");
pub const LOCAL_PART_NOT_ASCII: Reply =
    Reply::fixed(550, (5, 6, 7), "address has non-ASCII local part");
pub const PARAMETER_UNKNOWN: Reply = Reply::fixed(555, (5, 5, 4), "parameter not recognized");
pub const NOT_SYNCHRONIZED: Reply =
    Reply::fixed(554, (5, 5, 0), "synchronization error, message not taken");
pub const TWO_FROM_HEADERS: Reply =
    Reply::fixed(550, (5, 6, 0), "message has more than one From header");
pub const FROM_MISSING: Reply = Reply::fixed(550, (5, 6, 0), "message has no sender, set From");
