//! An email address, parsed once and trusted afterwards.
//!
//! The parser is as lenient as old devices need (dots anywhere in the local part, underscores in
//! host names, a trailing dot on the domain) and never repairs anything that a policy decision
//! looks at. Control and zero-width characters are refused everywhere, so a `Mailbox` can be put
//! into a header, a log line or JSON as it is.
//!
//! RFC 5321 §4.1.2, RFC 5890 (A-labels)

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::shown::is_printable;

/// `local-part@domain`; the local part exactly as given, the domain in ASCII without a trailing dot.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    text: String,
    at: usize,
}

impl Mailbox {
    /// Parses one bare address (no angle brackets, no display name).
    ///
    /// # Errors
    /// Names what is wrong with the address; see [`MailboxError`].
    pub fn parse(input: &str) -> Result<Self, MailboxError> {
        if input.len() > ADDRESS_OCTETS_MAX {
            return Err(MailboxError::TooLong);
        }
        if input.chars().any(|character| !is_printable(character)) {
            return Err(MailboxError::Invisible);
        }
        let at = match split_at_sign(input) {
            Some(at) => at,
            None if input.is_empty() => return Err(MailboxError::Syntax),
            None => return Err(MailboxError::NoDomain),
        };
        let local = &input[..at];
        if !local.is_ascii() {
            return Err(MailboxError::LocalNotAscii);
        }
        if !is_local_part(local) {
            return Err(MailboxError::Syntax);
        }
        let domain = parse_domain(&input[at + 1..])?;
        Ok(Self {
            text: format!("{local}@{domain}"),
            at,
        })
    }

    /// The part before the `@`, quotes included.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What two spellings of one address share: used to compare, never to send.
    pub fn key(&self) -> String {
        let Some(content) = self.quoted_content() else {
            return self.text.to_ascii_lowercase();
        };
        // Neither quotes nor backslashes that need not be there make another address (RFC 5321 §4.1.2).
        let mut plain = String::with_capacity(content.len());
        let mut escaped = false;
        for character in content.chars() {
            if !std::mem::take(&mut escaped) && character == '\\' {
                escaped = true;
            } else {
                plain.push(character);
            }
        }
        let local = if !plain.is_empty() && plain.bytes().all(is_atom_or_dot) {
            plain
        } else {
            format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
        };
        format!("{local}@{}", self.domain()).to_ascii_lowercase()
    }

    /// Whether the local part is quoted and holds something that programs in the wild take for the end of it, or for
    /// another address.
    pub fn has_odd_quotes(&self) -> bool {
        self.quoted_content()
            .is_some_and(|content| content.bytes().any(|byte| b"@,;:<>() \\".contains(&byte)))
    }

    /// What stands between the quotes of the local part.
    fn quoted_content(&self) -> Option<&str> {
        self.local().strip_prefix('"')?.strip_suffix('"')
    }

    /// Whether both are the same address, ignoring case in either part.
    pub fn matches(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// Whether no name server can know the domain: a label begins or ends with a hyphen, the last one is a number, or
    /// one says that it is encoded and can't be decoded (RFC 1123 §2.1, RFC 5890 §2.3.2.1).
    pub fn is_impossible(&self) -> bool {
        if self.is_literal() {
            return false;
        }
        let mut labels = self.domain().split('.');
        let last_is_number = self
            .domain()
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let bad = |label: &str| {
            let encoded = label.to_ascii_lowercase().starts_with("xn--");
            label.starts_with('-')
                || label.ends_with('-')
                || (encoded && idna::domain_to_unicode(label).1.is_err())
        };
        last_is_number || labels.any(bad)
    }

    /// Whether the domain is an IP address, bracketed or not: no provider can route that.
    pub fn is_literal(&self) -> bool {
        let domain = self.domain();
        domain.starts_with('[') || domain.parse::<Ipv4Addr>().is_ok()
    }
}

impl FromStr for Mailbox {
    type Err = MailboxError;

    fn from_str(input: &str) -> Result<Self, MailboxError> {
        Self::parse(input)
    }
}

impl TryFrom<String> for Mailbox {
    type Error = MailboxError;

    fn try_from(input: String) -> Result<Self, MailboxError> {
        Self::parse(&input)
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.text
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not an address we can carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MailboxError {
    /// There is no `@`, or nothing behind it.
    #[error("address has no domain")]
    NoDomain,
    /// The local part has characters that need SMTPUTF8, which the provider does not take.
    #[error("local part is not ASCII")]
    LocalNotAscii,
    /// The domain has other letters and no ASCII form; or it was in an 8-bit character set.
    #[error("domain can't be put into ASCII")]
    DomainNotAscii,
    /// Control or zero-width characters: header injection or a broken client.
    #[error("address has invisible characters")]
    Invisible,
    /// Longer than any address can be.
    #[error("address is too long")]
    TooLong,
    /// Anything else that is not `local-part@domain`.
    #[error("not an address")]
    Syntax,
}

/// What an allow list may name: one address, or every address of one domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AddressPattern {
    /// Exactly this address.
    Address(Mailbox),
    /// Every address of exactly this domain (not of its sub-domains).
    Domain(String),
}

impl AddressPattern {
    /// Whether the pattern covers `mailbox`.
    pub fn covers(&self, mailbox: &Mailbox) -> bool {
        match self {
            Self::Address(address) => address.matches(mailbox),
            Self::Domain(domain) => domain.eq_ignore_ascii_case(mailbox.domain()),
        }
    }
}

impl FromStr for AddressPattern {
    type Err = MailboxError;

    /// Reads `scan@example.com`, `example.com` or `@example.com`.
    fn from_str(input: &str) -> Result<Self, MailboxError> {
        let domain = input.strip_prefix('@').unwrap_or(input);
        if domain.contains('@') {
            // A wildcard would be taken for a letter and match nobody.
            return match Mailbox::parse(input) {
                Ok(mailbox) if mailbox.local().contains('*') => Err(MailboxError::Syntax),
                parsed => parsed.map(Self::Address),
            };
        }
        if domain.chars().any(|character| !is_printable(character)) {
            return Err(MailboxError::Invisible);
        }
        parse_domain(domain).map(Self::Domain)
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

/// The last `@` outside quotes.
fn split_at_sign(input: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let mut at = None;
    for (index, character) in input.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => at = Some(index),
            _ => {}
        }
    }
    at
}

fn is_local_part(local: &str) -> bool {
    if local.is_empty() || local.len() > LOCAL_OCTETS_MAX {
        return false;
    }
    match local.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted_content),
        None => local.bytes().all(is_atom_or_dot),
    }
}

fn is_quoted_content(content: &str) -> bool {
    let mut escaped = false;
    for byte in content.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

fn is_atom_or_dot(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&byte)
}

/// The domain in ASCII, without its trailing dot (stripped before any policy sees it).
fn parse_domain(input: &str) -> Result<String, MailboxError> {
    let domain = input.strip_suffix('.').unwrap_or(input);
    if domain.is_empty() {
        return Err(MailboxError::NoDomain);
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let inside = literal.strip_suffix(']').ok_or(MailboxError::Syntax)?;
        let plain = inside
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".:-".contains(&byte));
        return if plain && !inside.is_empty() {
            Ok(domain.to_owned())
        } else {
            Err(MailboxError::Syntax)
        };
    }
    let ascii = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| MailboxError::DomainNotAscii)?
    };
    let label_is_plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if ascii.len() <= DOMAIN_OCTETS_MAX && ascii.split('.').all(label_is_plain) {
        Ok(ascii)
    } else {
        Err(MailboxError::Syntax)
    }
}

/// RFC 5321 §4.5.3.1.3 allows 256 with the brackets; some bounce addresses are longer.
const ADDRESS_OCTETS_MAX: usize = 384;
/// RFC 5321 §4.5.3.1.1 says 64; return addresses of mailing lists are often longer.
const LOCAL_OCTETS_MAX: usize = 128;
/// RFC 5321 §4.5.3.1.2.
const DOMAIN_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_real_devices_are_read_as_they_are() {
        for (input, local, domain) in [
            ("scan@example.com", "scan", "example.com"),
            ("ilo.@example.com", "ilo.", "example.com"),
            ("a..b@example.com", "a..b", "example.com"),
            ("u@example.com.", "u", "example.com"),
            ("\"a b\"@example.com", "\"a b\"", "example.com"),
            ("\"a@b\"@example.com", "\"a@b\"", "example.com"),
            ("root@af5be243f321", "root", "af5be243f321"),
            ("u@stack_app_1.net", "u", "stack_app_1.net"),
            ("x@büro.example", "x", "xn--bro-hoa.example"),
            ("x@[192.0.2.9]", "x", "[192.0.2.9]"),
        ] {
            let mailbox = Mailbox::parse(input).expect(input);
            assert_eq!((mailbox.local(), mailbox.domain()), (local, domain));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_cause() {
        for (input, error) in [
            ("", MailboxError::Syntax),
            ("scanner", MailboxError::NoDomain),
            ("scanner@", MailboxError::NoDomain),
            ("a\r\nBcc: x@y", MailboxError::Invisible),
            ("a\u{200b}@example.com", MailboxError::Invisible),
            ("büro@example.com", MailboxError::LocalNotAscii),
            ("x@b\u{fffd}ro.example", MailboxError::DomainNotAscii),
            ("a b@example.com", MailboxError::Syntax),
            ("a@b@example.com", MailboxError::Syntax),
            ("a@exa mple.com", MailboxError::Syntax),
            ("a@example..com", MailboxError::Syntax),
            ("\"a@example.com", MailboxError::NoDomain),
        ] {
            assert_eq!(Mailbox::parse(input), Err(error), "{input:?}");
        }
        assert_eq!(
            Mailbox::parse(&format!("{}@example.com", "a".repeat(400))),
            Err(MailboxError::TooLong)
        );
    }

    #[test]
    fn a_domain_pattern_covers_its_domain_and_no_sub_domain() {
        let pattern: AddressPattern = "Example.org".parse().expect("a domain");
        assert!(pattern.covers(&Mailbox::parse("a@example.ORG").expect("an address")));
        assert!(!pattern.covers(&Mailbox::parse("a@sub.example.org").expect("an address")));
        assert!(!pattern.covers(&Mailbox::parse("a@notexample.org").expect("an address")));
    }

    #[test]
    fn a_domain_that_can_not_exist_is_known() {
        for (text, impossible) in [
            ("ann@-example.net", true),
            ("ann@example-.net", true),
            ("ann@example.123", true),
            ("ann@xn--zzzzzz99999.net", true),
            ("ann@xn--.net", true),
            ("ann@xn--bro-hoa.example", false),
            ("ann@my_host.example.net", false),
            ("ann@1und1.de", false),
            ("ann@[192.0.2.9]", false),
        ] {
            assert_eq!(
                Mailbox::parse(text).expect(text).is_impossible(),
                impossible,
                "{text}"
            );
        }
    }

    #[test]
    fn spellings_of_one_address_have_one_key() {
        let key = |text: &str| Mailbox::parse(text).expect(text).key();
        for text in [
            "\"ann\"@Example.net",
            r#""\ann"@example.net"#,
            r#""\a\n\n"@example.net"#,
            "Ann@example.net",
        ] {
            assert_eq!(key(text), "ann@example.net", "{text}");
        }
        assert_eq!(key(r#""a\ b"@example.net"#), key(r#""a b"@example.net"#));
        assert_ne!(key(r#""a\"b"@example.net"#), key(r#""a\\b"@example.net"#));
    }
}
