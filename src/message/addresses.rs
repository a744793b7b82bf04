//! The addresses of a header field, and whether there can be two opinions about them.
//!
//! A header that we read one way and the provider another way would reach somebody whom the
//! envelope does not name. So two readers look at every field: mail-parser, which finds something in
//! anything, and a strict one that knows RFC 5322 and nothing else. Where they differ the list is not
//! *certain*, and the plan writes a new field instead of passing the old one on.
//!
//! RFC 5322 §3.4

use std::collections::HashSet;

use mail_parser::{Addr, Address, MessageParser};

use crate::mail::Mailbox;

use super::words;

/// What a field says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressList {
    /// The addresses in order, with the text they stood in.
    pub entries: Vec<Entry>,
    /// Whether both readers agree, and no group or doubtful syntax is involved.
    pub certain: bool,
}

/// One address of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The address.
    pub mailbox: Mailbox,
    /// The address with its display name as written; the bare address where that is doubtful.
    pub text: String,
}

/// Reads the value of a `To:`-like field.
pub fn read_addresses(value: &[u8]) -> AddressList {
    let (lenient, plain_names) = read_leniently(value);
    let strict = read_strictly(value);
    if let Some(entries) = &strict
        && plain_names
        && words::are_plain(value)
        && entries
            .iter()
            .map(|entry| entry.mailbox.key())
            .eq(lenient.iter().map(Mailbox::key))
    {
        return AddressList {
            entries: strict.unwrap_or_default(),
            certain: true,
        };
    }
    // Whatever either reader saw counts as named by the header.
    let mut entries: Vec<Entry> = lenient.into_iter().map(bare).collect();
    let known: HashSet<String> = entries.iter().map(|entry| entry.mailbox.key()).collect();
    let unseen = strict
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| !known.contains(&entry.mailbox.key()))
        .map(|entry| bare(entry.mailbox));
    entries.extend(unseen);
    AddressList {
        entries,
        certain: false,
    }
}

/// Every address that any reading of the field finds. `None` where an `@` belongs to no address, or where text is
/// encoded in a way that not everybody reads alike: then nobody can say whom the field shows.
pub fn every_address(value: &[u8]) -> Option<Vec<Mailbox>> {
    let mut seen = HashSet::new();
    let mut found: Vec<Mailbox> = Vec::new();
    let mut keep = |mailbox: Mailbox| {
        if seen.insert(mailbox.key()) {
            found.push(mailbox);
        }
    };
    for text in words::readings(&words::unfolded(value))? {
        for (at, _) in text.match_indices('@') {
            keep(address_around(&text, at)?);
        }
    }
    for entry in read_addresses(value).entries {
        keep(entry.mailbox);
    }
    Some(found)
}

/// The address whose `@` stands there, whatever stands around it.
fn address_around(text: &str, at: usize) -> Option<Mailbox> {
    let foreign = |character: char| !character.is_ascii() && !character.is_whitespace();
    let local = |character: &char| {
        let atom = character.is_ascii_graphic() && !"<>()[],;:\\\"@".contains(*character);
        atom || foreign(*character)
    };
    let domain = |character: &char| {
        let label = character.is_ascii_alphanumeric() || "-_.".contains(*character);
        label || foreign(*character)
    };
    let before: usize = text[..at]
        .chars()
        .rev()
        .take_while(local)
        .map(char::len_utf8)
        .sum();
    let behind: usize = text[at + 1..]
        .chars()
        .take_while(domain)
        .map(char::len_utf8)
        .sum();
    let (mut start, end) = (at - before, at + 1 + behind);
    // Single quotes around the whole address are no part of it.
    if text[start..end].starts_with('\'') && text[end..].starts_with('\'') {
        start += 1;
    }
    Mailbox::parse(&text[start..end]).ok()
}

fn bare(mailbox: Mailbox) -> Entry {
    Entry {
        text: mailbox.to_string(),
        mailbox,
    }
}

/// The addresses, and whether no display name or comment looks like yet another one.
fn read_leniently(value: &[u8]) -> (Vec<Mailbox>, bool) {
    let mut block = b"To:".to_vec();
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n\r\n");
    let parsed = MessageParser::default().parse_headers(&block);
    let Some(address) = parsed.as_ref().and_then(|message| message.to()) else {
        return (Vec::new(), true);
    };
    let addresses = match address {
        Address::List(list) => list.iter().collect::<Vec<_>>(),
        Address::Group(groups) => groups.iter().flat_map(|group| &group.addresses).collect(),
    };
    let plain_names = addresses.iter().all(|addr| has_plain_name(addr));
    let mailboxes = addresses
        .into_iter()
        .filter_map(|addr| Mailbox::parse(addr.address.as_deref()?.trim()).ok())
        .collect();
    (mailboxes, plain_names)
}

/// A reader that decodes or splits before it parses would take an address in a name for a recipient.
/// The address's own repetition as its name is common and names nobody else.
fn has_plain_name(addr: &Addr<'_>) -> bool {
    let name = addr.name.as_deref().unwrap_or_default().to_lowercase();
    let own = addr.address.as_deref().unwrap_or_default().to_lowercase();
    let bare = name.trim_matches(|character| "'\" ".contains(character));
    (!own.is_empty() && bare == own) || !name.contains('@')
}

/// `None` for anything but a plain list of mailboxes, or an empty group.
fn read_strictly(value: &[u8]) -> Option<Vec<Entry>> {
    // Display names in raw Latin-1 are common and harmless; positions stay the same octet for octet.
    let ascii: String = value
        .iter()
        .map(|octet| {
            if octet.is_ascii() {
                char::from(*octet)
            } else {
                '\u{1a}'
            }
        })
        .map(|character| {
            if "\r\n\t".contains(character) {
                ' '
            } else {
                character
            }
        })
        .collect();
    let ascii = ascii.replace('\u{1a}', "?");
    let trimmed = ascii.trim();
    if trimmed.is_empty() || is_empty_group(trimmed) {
        return Some(Vec::new());
    }
    let mut entries = Vec::new();
    let mut start = 0;
    for end in comma_positions(&ascii)? {
        let mailbox = read_element(&ascii[start..end])?;
        let written = std::str::from_utf8(&value[start..end])
            .ok()
            .map(|written| written.replace("\r\n", "").trim().to_owned())
            .filter(|written| written.is_ascii());
        entries.push(Entry {
            text: written.unwrap_or_else(|| mailbox.to_string()),
            mailbox,
        });
        start = end + 1;
    }
    Some(entries)
}

/// `undisclosed-recipients:;`
fn is_empty_group(text: &str) -> bool {
    let plain = |name: &str| {
        name.chars()
            .all(|character| character.is_ascii_alphanumeric() || " -_.\"".contains(character))
    };
    text.strip_suffix(';')
        .and_then(|text| text.trim_end().strip_suffix(':'))
        .is_some_and(plain)
}

/// Where top-level commas stand, and the end; `None` for groups, stray separators, open quotes.
fn comma_positions(text: &str) -> Option<Vec<usize>> {
    let mut commas = Vec::new();
    let mut scan = Scan::default();
    for (index, character) in text.char_indices() {
        let plain = scan.step(character)?;
        if !plain {
            continue;
        }
        match character {
            ',' if scan.angle => return None,
            ',' => commas.push(index),
            ';' | ':' => return None,
            _ => {}
        }
    }
    if !scan.is_closed() {
        return None;
    }
    commas.push(text.len());
    Some(commas)
}

/// `phrase <addr>` or `addr`, comments allowed around either.
fn read_element(element: &str) -> Option<Mailbox> {
    let mut scan = Scan::default();
    let mut outside = String::new();
    let mut inside: Option<String> = None;
    for character in element.chars() {
        let was_angle = scan.angle;
        let in_comment = scan.comments > 0 || character == '(';
        let plain = scan.step(character)?;
        match (plain, character) {
            (true, '<') if inside.is_none() => inside = Some(String::new()),
            (true, '<') => return None,
            (true, '>') => {}
            _ if was_angle => inside.as_mut()?.push(character),
            _ if in_comment && !scan.quoted => {}
            _ => {
                // Nothing but space may follow the closing bracket.
                if inside.is_some() && character != ' ' {
                    return None;
                }
                outside.push(character);
            }
        }
    }
    match inside {
        Some(inside) => {
            let phrase_names_address = outside.split('"').step_by(2).any(|part| part.contains('@'));
            if phrase_names_address {
                return None;
            }
            exactly(&inside)
        }
        None => exactly(outside.trim_matches(' ')),
    }
}

/// The address, if it needs no tidying up that another reader might not do.
fn exactly(text: &str) -> Option<Mailbox> {
    Mailbox::parse(text)
        .ok()
        .filter(|mailbox| mailbox.as_str() == text && !mailbox.has_odd_quotes())
}

/// Keeps track of quotes, comments and angle brackets.
#[derive(Default)]
struct Scan {
    quoted: bool,
    escaped: bool,
    comments: u32,
    angle: bool,
}

impl Scan {
    /// Whether `character` stands outside quotes and comments; `None` when nesting is broken.
    fn step(&mut self, character: char) -> Option<bool> {
        if std::mem::take(&mut self.escaped) {
            return Some(false);
        }
        match character {
            '\\' if self.quoted || self.comments > 0 => {
                self.escaped = true;
                Some(false)
            }
            '\\' => None,
            '"' if self.comments == 0 => {
                self.quoted = !self.quoted;
                Some(false)
            }
            _ if self.quoted => Some(false),
            '(' if !self.angle => {
                self.comments += 1;
                Some(false)
            }
            ')' if self.comments > 0 => {
                self.comments -= 1;
                Some(false)
            }
            '(' | ')' => None,
            _ if self.comments > 0 => Some(false),
            '<' if self.angle => None,
            '<' => {
                self.angle = true;
                Some(true)
            }
            '>' if !self.angle => None,
            '>' => {
                self.angle = false;
                Some(true)
            }
            _ => Some(true),
        }
    }

    fn is_closed(&self) -> bool {
        !self.quoted && !self.escaped && self.comments == 0 && !self.angle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (Vec<String>, bool) {
        let list = read_addresses(value.as_bytes());
        let addresses = list.entries.iter().map(|entry| entry.mailbox.to_string());
        (addresses.collect(), list.certain)
    }

    #[test]
    fn well_formed_lists_are_certain() {
        for (value, addresses) in [
            (" a@b.test\r\n", vec!["a@b.test"]),
            (" a@b.test,\r\n\tc@d.test\r\n", vec!["a@b.test", "c@d.test"]),
            (
                " \"Doe, Jane\" <jane@d.test>, Bob <b@d.test>",
                vec!["jane@d.test", "b@d.test"],
            ),
            (
                "\"=?ISO-8859-1?B?Q1g=?=\r\n =?ISO-8859-1?B?Qw==?=\" <copier@x.test>",
                vec!["copier@x.test"],
            ),
            (" =?utf-8?q?B=C3=BCro?= <b@d.test>", vec!["b@d.test"]),
            (" Undisclosed recipients:;", vec![]),
            ("", vec![]),
            (" \"'A@b.test'\" <a@b.test>", vec!["a@b.test"]),
            (" bob@d.test (Bob, the builder)", vec!["bob@d.test"]),
            // The second octet of a character may look like a sign.
            (
                " =?iso-2022-jp?b?GyRCJDwbKEI=?= <b@d.test>",
                vec!["b@d.test"],
            ),
        ] {
            let addresses: Vec<String> = addresses.into_iter().map(str::to_owned).collect();
            assert_eq!(read(value), (addresses, true), "{value:?}");
        }
    }

    #[test]
    fn doubtful_lists_are_not_certain() {
        for value in [
            " <A B <a@x.test, C D <c@y.test>,",
            " a@b.test; c@d.test",
            " a@b.test, , c@d.test",
            " a@b.test,",
            " friends: a@b.test, c@d.test;",
            " eve@x.test <a@b.test>",
            " <a@b.test> <c@d.test>",
            " \"open <a@b.test>",
            " a@b.test c@d.test",
            " scanner",
            " <a@b.test>x@y.test",
            " a@b.test (open",
            " <@route.test:a@b.test>",
            " a@b.test.",
            " \"x, victim@v.test\" <a@b.test>",
            " =?utf-8?q?victim=40v.test=2C?= <a@b.test>",
            " a@b.test (x, victim@v.test)",
            " =?shift_jis?q?x=B1=40v.test?= <a@b.test>",
            " =?shift_jis?q?x=83=40=40v.test?= <a@b.test>",
            " =?iso-2022-jp?q?=1B$B$<=1B(B=40v.test?= <a@b.test>",
            " \"a b\"@b.test",
            " <\"a b\"@b.test>",
            " <\"a;b\"@b.test>",
            " <\"a:b\"@b.test>",
            " <\"a,b\"@b.test>",
            " <\"a(b\"@b.test>",
            " <\"a<b\"@b.test>",
            " <\"a@b\"@b.test>",
            " <\"a\\b\"@b.test>",
        ] {
            assert!(!read(value).1, "{value:?}: {:?}", read(value));
        }
    }

    #[test]
    fn an_entry_keeps_the_text_it_stood_in() {
        let list = read_addresses(b" \"Doe, Jane\" <jane@d.test>,\r\n\tB\xfcro <b@d.test>\r\n");
        let texts: Vec<&str> = list
            .entries
            .iter()
            .map(|entry| entry.text.as_str())
            .collect();
        assert_eq!(texts, ["\"Doe, Jane\" <jane@d.test>", "b@d.test"]);
    }
}
