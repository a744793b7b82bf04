//! Line framing over whatever pieces the network delivers.
//!
//! A line over the limit is thrown away up to its end, so that a client that never sends a line
//! end costs a bounded amount of memory.

use bytes::{Buf, Bytes, BytesMut};

/// Octets received and not yet interpreted.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    octets: BytesMut,
    /// Octets already known to hold no line end.
    scanned: usize,
    /// Whether the rest of an overlong line is being thrown away.
    skipping: bool,
}

/// What the next line is.
#[derive(Debug, PartialEq)]
pub(super) enum Framed {
    /// A complete line without its end.
    Line(Bytes),
    /// A line over the limit; it has been thrown away.
    TooLong,
    /// The line end has not arrived.
    Incomplete,
}

impl Inbox {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.octets.extend_from_slice(bytes);
    }

    /// Takes the next line, ended by CRLF or by LF alone.
    pub(super) fn next_line(&mut self, octets_max: usize) -> Framed {
        let Some(found) = memchr::memchr(b'\n', &self.octets[self.scanned..]) else {
            if self.skipping || self.octets.len() > octets_max {
                self.skipping = true;
                self.clear_kept();
            }
            self.scanned = self.octets.len();
            return Framed::Incomplete;
        };
        let end = self.scanned + found;
        let mut line = self.octets.split_to(end + 1);
        self.scanned = 0;
        if std::mem::take(&mut self.skipping) || end > octets_max {
            return Framed::TooLong;
        }
        line.truncate(end);
        while line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Framed::Line(line.freeze())
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.octets.advance(count);
        self.scanned = 0;
    }

    /// Throws everything away; says whether there was anything.
    pub(super) fn discard(&mut self) -> bool {
        let any = !self.octets.is_empty();
        self.octets.clear();
        self.scanned = 0;
        self.skipping = false;
        any
    }

    /// Gives the memory of a long message back once it is interpreted.
    pub(super) fn shrink(&mut self) {
        if self.octets.is_empty() {
            self.octets = BytesMut::new();
        }
    }

    fn clear_kept(&mut self) {
        self.octets.clear();
        self.scanned = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_whatever_the_pieces() {
        let stream = b"EHLO x\r\nNOOP\n\r\n";
        for piece in 1..stream.len() {
            let mut inbox = Inbox::default();
            let mut lines = Vec::new();
            for bytes in stream.chunks(piece) {
                inbox.extend(bytes);
                while let Framed::Line(line) = inbox.next_line(100) {
                    lines.push(line);
                }
            }
            assert_eq!(lines, ["EHLO x", "NOOP", ""], "pieces of {piece}");
        }
    }

    #[test]
    fn an_endless_line_is_reported_once_and_costs_no_memory() {
        let mut inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.extend(&[b'x'; 1000]);
            assert_eq!(inbox.next_line(4096), Framed::Incomplete);
            assert!(inbox.as_slice().len() <= 5096);
        }
        inbox.extend(b"\r\nNOOP\r\n");
        assert_eq!(inbox.next_line(4096), Framed::TooLong);
        assert_eq!(inbox.next_line(4096), Framed::Line("NOOP".into()));
    }
}
