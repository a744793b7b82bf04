//! Separates the header block from the body while a message streams by.
//!
//! The block is made canonical on the way: a message without headers gets an empty block, a space
//! before a colon goes, a lone header name or a stray line between headers is kept as `X-Malformed:`
//! (but for a lone `Bcc`, which goes), and other text where a header should be starts the body. Without
//! this the provider could read body text as headers, and reach people whom the envelope does not
//! name; and a header that begins too late would show its Bcc in the body.
//!
//! RFC 5322 §2.2; device-quirks 5.7, 6.3, 6.5

use bytes::{Bytes, BytesMut};

/// A complete header block.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    /// The canonical block.
    pub block: Vec<u8>,
    /// What turned out to be body after all.
    pub body: Vec<u8>,
    /// What was changed on the way, in words.
    pub mended: Vec<&'static str>,
}

/// Collects the header block; everything behind it is handed back.
#[derive(Debug)]
pub struct HeadCollector {
    raw: BytesMut,
    searched: usize,
    octets_max: usize,
    /// Whether what may stand before the header is dealt with.
    opened: bool,
    complete: bool,
    mended: Vec<&'static str>,
}

/// The header block is over the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("header block is over the limit")]
pub struct HeadTooBig;

impl HeadCollector {
    /// A collector for one message.
    pub fn new(octets_max: usize) -> Self {
        Self {
            raw: BytesMut::new(),
            searched: 0,
            octets_max,
            opened: false,
            complete: false,
            mended: Vec::new(),
        }
    }

    /// Takes content; gives back what belongs to the body.
    ///
    /// # Errors
    /// When the block grows over the limit before it ends.
    pub fn feed(&mut self, content: Bytes) -> Result<Bytes, HeadTooBig> {
        if self.complete {
            return Ok(content);
        }
        self.raw.extend_from_slice(&content);
        if !self.opened && !self.open(false) {
            return self.wait();
        }
        let from = self.searched.saturating_sub(3);
        let end = if self.raw.starts_with(b"\r\n") {
            Some((0, 2))
        } else {
            memchr::memmem::find(&self.raw[from..], b"\r\n\r\n")
                .map(|found| (from + found + 2, from + found + 4))
        };
        let Some((head_end, body_start)) = end else {
            self.searched = self.raw.len();
            return self.wait();
        };
        if head_end > self.octets_max {
            return Err(HeadTooBig);
        }
        self.complete = true;
        let mut body = self.raw.split_off(body_start).freeze();
        let raw = self.raw.split().freeze();
        let canonical = Canonical::of(&raw[..head_end]);
        if canonical.head.len() > self.octets_max {
            return Err(HeadTooBig);
        }
        if canonical.body_start < head_end {
            // The empty line found is part of the body: the header block ended before it.
            let mut longer = BytesMut::from(&raw[canonical.body_start..]);
            longer.extend_from_slice(&body);
            body = longer.freeze();
        }
        self.raw = BytesMut::from(canonical.head.as_slice());
        self.mended.extend(&canonical.mended);
        Ok(body)
    }

    /// There is not enough yet.
    fn wait(&self) -> Result<Bytes, HeadTooBig> {
        if self.raw.len() > self.octets_max {
            Err(HeadTooBig)
        } else {
            Ok(Bytes::new())
        }
    }

    /// Takes off what stands before the header, once that can be told.
    fn open(&mut self, ended: bool) -> bool {
        let Some(before) = opening(&self.raw, ended) else {
            return false;
        };
        if before > 0 {
            drop(self.raw.split_to(before));
            self.mended.push("opening_removed");
        }
        self.opened = true;
        true
    }

    /// The message is complete: the canonical block, and what turned out to be body after all.
    ///
    /// # Errors
    /// When the block is over the limit.
    pub fn finish(mut self) -> Result<Head, HeadTooBig> {
        let mut body = Vec::new();
        if !self.opened {
            // What was waited for does not come.
            self.open(true);
            body = self.feed(Bytes::new())?.to_vec();
        }
        if self.complete {
            return Ok(Head {
                block: self.raw.to_vec(),
                body,
                mended: self.mended,
            });
        }
        let mut raw = self.raw.to_vec();
        if !raw.is_empty() && !raw.ends_with(b"\r\n") {
            raw.extend_from_slice(b"\r\n");
        }
        let canonical = Canonical::of(&raw);
        if canonical.head.len() > self.octets_max {
            return Err(HeadTooBig);
        }
        self.mended.extend(&canonical.mended);
        Ok(Head {
            block: canonical.head,
            body: raw[canonical.body_start..].to_vec(),
            mended: self.mended,
        })
    }
}

/// Octets before the header that are no part of it: byte order marks, and blank lines that a field follows which
/// nobody writes into a text. Otherwise a header would be sent as text, and show its Bcc. `None`: more is needed.
fn opening(raw: &[u8], ended: bool) -> Option<usize> {
    let (mut at, mut marks) = (0, 0);
    loop {
        let rest = &raw[at..];
        if at < OPENING_OCTETS_MAX
            && let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(mark))
        {
            if at == marks {
                marks += mark.len();
            }
            at += mark.len();
            continue;
        }
        let line = match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => &rest[..end],
            None if ended || rest.len() > OPENING_OCTETS_MAX => rest,
            None => return None,
        };
        let blank = line.iter().all(|octet| b" \t".contains(octet)) && line.len() < rest.len();
        if blank && at < OPENING_OCTETS_MAX {
            at += line.len() + 2;
            continue;
        }
        return Some(if at == marks || is_known_field(line) {
            at
        } else {
            marks
        });
    }
}

fn is_known_field(line: &[u8]) -> bool {
    let Line::Field { name, .. } = Line::of(line, false) else {
        return false;
    };
    let name = line[..name].to_ascii_lowercase();
    KNOWN_FIELDS.iter().any(|known| name == known.as_bytes())
}

struct Canonical {
    head: Vec<u8>,
    body_start: usize,
    mended: Vec<&'static str>,
}

impl Canonical {
    /// `raw` is whole lines, none of them empty.
    fn of(raw: &[u8]) -> Self {
        let mut head = Vec::with_capacity(raw.len());
        let mut start = 0;
        // Whether the field above is being dropped; lines folded under it go along.
        let mut dropping = false;
        while start < raw.len() {
            let end = line_end(raw, start);
            let line = &raw[start..end];
            let read = Line::of(line, start == 0);
            dropping &= matches!(read, Line::Folded);
            match read {
                Line::Folded if dropping => {}
                Line::Folded => head.extend_from_slice(line),
                Line::Field { name, colon }
                    if counts_as_missing(&line[..name], raw, start + colon + 1) =>
                {
                    dropping = true;
                }
                Line::Field { name, colon } => {
                    head.extend_from_slice(&line[..name]);
                    head.extend_from_slice(&line[colon..]);
                }
                Line::NameAlone if is_bcc(line) => dropping = true,
                Line::NameAlone => keep_malformed(&mut head, line),
                // An mbox separator, or a stray line that more headers follow.
                Line::Text if line.starts_with(b"From ") || line.starts_with(b">From ") => {
                    keep_malformed(&mut head, line);
                }
                Line::Text if start > 0 && header_follows(raw, end) => {
                    keep_malformed(&mut head, line);
                }
                Line::Text => break,
            }
            start = end;
        }
        let mut mended = Vec::new();
        if head != raw[..start] {
            mended.push("header_mended");
        }
        // Behind that, so that no control can make a fold of a line.
        if without_controls(&mut head) {
            mended.push("controls_replaced");
        }
        Self {
            head,
            body_start: start,
            mended,
        }
    }
}

/// Whether an empty field is worse than none: one that we write where it is missing. Large receivers refuse it.
fn counts_as_missing(name: &[u8], raw: &[u8], value: usize) -> bool {
    if !COMPLETED
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return false;
    }
    let mut end = line_end(raw, value);
    while raw.get(end).is_some_and(|octet| b" \t".contains(octet)) {
        end = line_end(raw, end);
    }
    let nothing = |octet: &u8| octet.is_ascii_control() || b" <>".contains(octet);
    raw[value..end].iter().all(nothing)
}

/// Turns every control into a space: some programs that rewrite mail break lines there, and what follows would be a
/// field of its own.
fn without_controls(head: &mut [u8]) -> bool {
    let mut found = false;
    for octet in head.iter_mut() {
        if octet.is_ascii_control() && !b"\t\r\n".contains(octet) {
            *octet = b' ';
            found = true;
        }
    }
    if head.is_ascii() {
        return found;
    }
    // NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR, as UTF-8 has them.
    for separator in [&b"\xc2\x85"[..], b"\xe2\x80\xa8", b"\xe2\x80\xa9"] {
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&head[from..], separator) {
            head[from + at..from + at + separator.len()].fill(b' ');
            from += at + separator.len();
            found = true;
        }
    }
    found
}

/// UTF-8, UTF-16 little and big endian.
const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
/// Blank lines beyond this are text.
const OPENING_OCTETS_MAX: usize = 1024;
/// Fields that are added where they are missing.
const COMPLETED: [&[u8]; 3] = [b"Date", b"Message-ID", b"MIME-Version"];
const KNOWN_FIELDS: [&str; 19] = [
    "bcc",
    "cc",
    "date",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "apparently-to",
    "content-type",
    "content-transfer-encoding",
    "x-mailer",
    "x-priority",
    "resent-to",
    "resent-bcc",
];

fn line_end(raw: &[u8], start: usize) -> usize {
    memchr::memmem::find(&raw[start..], b"\r\n").map_or(raw.len(), |found| start + found + 2)
}

fn is_bcc(line: &[u8]) -> bool {
    let name = line.trim_ascii();
    name.eq_ignore_ascii_case(b"Bcc") || name.eq_ignore_ascii_case(b"Resent-Bcc")
}

fn header_follows(raw: &[u8], start: usize) -> bool {
    let line = &raw[start..line_end(raw, start)];
    !line.is_empty() && matches!(Line::of(line, false), Line::Field { .. })
}

fn keep_malformed(head: &mut Vec<u8>, line: &[u8]) {
    head.extend_from_slice(b"X-Malformed: ");
    head.extend_from_slice(line);
}

enum Line {
    Folded,
    Field { name: usize, colon: usize },
    NameAlone,
    Text,
}

impl Line {
    fn of(line: &[u8], first: bool) -> Self {
        if line.first().is_some_and(|octet| b" \t".contains(octet)) {
            return if first { Self::Text } else { Self::Folded };
        }
        let name = line
            .iter()
            .position(|octet| !is_name_octet(*octet))
            .unwrap_or(line.len());
        let spaces = line[name..]
            .iter()
            .position(|octet| !b" \t".contains(octet))
            .unwrap_or(0);
        match line.get(name + spaces) {
            _ if name == 0 => Self::Text,
            Some(b':') => Self::Field {
                name,
                colon: name + spaces,
            },
            Some(b'\r') if !first => Self::NameAlone,
            _ => Self::Text,
        }
    }
}

/// RFC 5322 §3.6.8: printable ASCII but for the colon.
fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(message: &[u8], piece: usize) -> (String, String) {
        let mut collector = HeadCollector::new(1000);
        let mut body = Vec::new();
        for bytes in message.chunks(piece) {
            let part = collector.feed(Bytes::copy_from_slice(bytes));
            body.extend_from_slice(&part.expect("a small header"));
        }
        let head = collector.finish().expect("a small header");
        body.extend_from_slice(&head.body);
        (
            String::from_utf8_lossy(&head.block).into_owned(),
            String::from_utf8_lossy(&body).into_owned(),
        )
    }

    #[test]
    fn head_and_body_are_the_same_for_every_split_point() {
        for (message, head, body) in [
            (
                "A: 1\r\nB: 2\r\n\r\nbody\r\n",
                "A: 1\r\nB: 2\r\n",
                "body\r\n",
            ),
            ("A: 1\r\n folded\r\n\r\n", "A: 1\r\n folded\r\n", ""),
            ("A: 1\r\n", "A: 1\r\n", ""),
            ("", "", ""),
            ("\r\nbody\r\n", "", "body\r\n"),
            (
                "hello\r\nTo: x@y\r\n\r\nz\r\n",
                "",
                "hello\r\nTo: x@y\r\n\r\nz\r\n",
            ),
            (
                " X: y\r\nA: 1\r\n\r\nz\r\n",
                "",
                " X: y\r\nA: 1\r\n\r\nz\r\n",
            ),
            (
                "Subject : x\r\nA: 1\r\n\r\nz",
                "Subject: x\r\nA: 1\r\n",
                "z",
            ),
            (
                "A: 1\r\nSubject\r\n\r\nz",
                "A: 1\r\nX-Malformed: Subject\r\n",
                "z",
            ),
            (
                "A: 1\r\nDear Bob,\r\nTo: x@y\r\n\r\nz",
                "A: 1\r\nX-Malformed: Dear Bob,\r\nTo: x@y\r\n",
                "z",
            ),
            (
                "A: 1\r\nDear Bob,\r\nhow are you?\r\n\r\nz",
                "A: 1\r\n",
                "Dear Bob,\r\nhow are you?\r\n\r\nz",
            ),
            (
                "From scan Mon Jan 1\r\nA: 1\r\n\r\nz",
                "X-Malformed: From scan Mon Jan 1\r\nA: 1\r\n",
                "z",
            ),
            (
                "A: 1\r\nBcc\r\n h@y\r\n i@y\r\nB: 2\r\n c\r\n\r\nz",
                "A: 1\r\nB: 2\r\n c\r\n",
                "z",
            ),
            (
                "\u{feff}A: 1\r\nBcc: h@y\r\n\r\nz",
                "A: 1\r\nBcc: h@y\r\n",
                "z",
            ),
            (
                "\r\n \t\r\nSubject: x\r\nBcc: h@y\r\n\r\nz",
                "Subject: x\r\nBcc: h@y\r\n",
                "z",
            ),
            ("\r\n\u{feff}From: a@b\r\n\r\nz", "From: a@b\r\n", "z"),
            ("\u{feff}hello\r\n", "", "hello\r\n"),
            ("\r\nDear Bob: hello\r\n", "", "Dear Bob: hello\r\n"),
            (
                "\r\nhello\r\nTo: x@y\r\n\r\nz",
                "",
                "hello\r\nTo: x@y\r\n\r\nz",
            ),
            ("\r\n\r\n", "", "\r\n"),
            (
                "Subject: a\x0bBcc: x@y\r\n b\x0c\x1cc\u{85}d\u{2029}\r\n\r\nz\x0b",
                "Subject: a Bcc: x@y\r\n b  c  d   \r\n",
                "z\x0b",
            ),
            (
                "Date:\r\nMessage-ID: <>\r\n \r\nMIME-Version :\r\nSubject:\r\n\r\nz",
                "Subject:\r\n",
                "z",
            ),
            (
                "Date:\r\n Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n",
                "Date:\r\n Thu, 1 Jan 1970 00:00:00 +0000\r\n",
                "",
            ),
        ] {
            for piece in 1..=message.len().max(1) {
                assert_eq!(
                    split(message.as_bytes(), piece),
                    (head.to_owned(), body.to_owned()),
                    "{message:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn a_mark_of_utf_16_before_the_header_is_taken_off() {
        for mark in [b"\xff\xfe", b"\xfe\xff"] {
            let message = [&mark[..], b"A: 1\r\nBcc: h@y\r\n\r\nz"].concat();
            for piece in 1..=message.len() {
                let expected = ("A: 1\r\nBcc: h@y\r\n".to_owned(), "z".to_owned());
                assert_eq!(split(&message, piece), expected, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_header_block_over_the_limit_is_refused_and_a_big_body_is_not() {
        let mut collector = HeadCollector::new(100);
        assert_eq!(
            collector.feed(Bytes::from("A: 1\r\n\r\n")),
            Ok(Bytes::new())
        );
        let body = Bytes::from(vec![b'x'; 1000]);
        assert_eq!(collector.feed(body.clone()), Ok(body));

        let mut collector = HeadCollector::new(100);
        assert_eq!(
            collector.feed(Bytes::from(vec![b'x'; 101])),
            Err(HeadTooBig)
        );
    }
}
