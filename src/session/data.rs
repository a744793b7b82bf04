//! Turns what follows DATA into message content.
//!
//! Line ends become CRLF, one leading dot of a line is removed, NUL octets are dropped, and the
//! content ends only where a line that was started by a true CRLF (or by the DATA command's own)
//! holds a lone dot and is ended by a true CRLF. Every other lone dot is content: honouring it
//! would let a message smuggle a second one past the servers behind us.
//!
//! RFC 5321 §4.5.2, §4.1.1.4

use bytes::BytesMut;

/// Decodes one message; works on pieces cut anywhere.
#[derive(Debug)]
pub struct DataDecoder {
    at: Position,
    nul_stripped: bool,
    line_ends_mended: bool,
}

/// How far a piece took the decoder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "octets behind the end belong to the next command"]
pub enum Decoded {
    /// The whole piece was content; more is to come.
    More,
    /// The message ended; this many octets of the piece belong to it.
    End(usize),
}

/// Where in a line the next octet stands. `true_start` says that the line began behind a true CRLF.
#[derive(Clone, Copy, Debug)]
enum Position {
    LineStart {
        true_start: bool,
    },
    Dot {
        true_start: bool,
    },
    /// Behind a dot that a true CRLF precedes: the end of the message, if LF comes.
    DotCr,
    InLine,
    Cr,
    CrCr,
    /// A CR and dropped NULs behind it.
    CrNul,
}

const AFTER_CRLF: Position = Position::LineStart { true_start: true };
const AFTER_BARE: Position = Position::LineStart { true_start: false };

impl Default for DataDecoder {
    fn default() -> Self {
        Self {
            // The CRLF of the DATA command itself counts (RFC 5321 §4.1.1.4).
            at: AFTER_CRLF,
            nul_stripped: false,
            line_ends_mended: false,
        }
    }
}

impl DataDecoder {
    /// Decodes `input`, appending content to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut BytesMut) -> Decoded {
        let mut index = 0;
        while index < input.len() {
            let octet = input[index];
            match (self.at, octet) {
                (Position::LineStart { true_start }, b'.') => {
                    self.at = Position::Dot { true_start };
                    index += 1;
                }
                (Position::LineStart { .. }, _) => self.at = Position::InLine,

                (Position::Dot { true_start: true }, b'\r') => {
                    self.at = Position::DotCr;
                    index += 1;
                }
                // The dot was transparency (RFC 5321 §4.5.2).
                (Position::Dot { true_start: true }, _) => self.at = Position::InLine,
                // Behind a bare LF or CR a client that stuffs there has doubled it; from any other it is content.
                (Position::Dot { true_start: false }, next) => {
                    if next != b'.' {
                        out.extend_from_slice(b".");
                    }
                    self.at = Position::InLine;
                }

                (Position::DotCr, b'\n') => return Decoded::End(index + 1),
                // There are other characters on the line: the dot was transparency here, too.
                (Position::DotCr, _) => self.at = Position::Cr,

                (Position::InLine, _) => {
                    let rest = &input[index..];
                    let special = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                    out.extend_from_slice(&rest[..special]);
                    index += special;
                    match rest.get(special) {
                        Some(b'\r') => self.at = Position::Cr,
                        Some(b'\n') => self.end_line(out, AFTER_BARE),
                        Some(_) => self.nul_stripped = true,
                        None => break,
                    }
                    index += 1;
                }

                (Position::Cr | Position::CrNul, 0) => {
                    self.nul_stripped = true;
                    self.at = Position::CrNul;
                    index += 1;
                }
                // One line end, but none that a message may end behind.
                (Position::CrNul, b'\n') => {
                    self.end_line(out, AFTER_BARE);
                    index += 1;
                }
                (Position::CrNul, _) => self.end_line(out, AFTER_BARE),
                (Position::Cr | Position::CrCr, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.at = AFTER_CRLF;
                    index += 1;
                }
                // Text converted twice ends its lines with CR CR LF: one line end, not two.
                (Position::Cr, b'\r') => {
                    self.at = Position::CrCr;
                    index += 1;
                }
                (Position::Cr, _) => self.end_line(out, AFTER_BARE),
                (Position::CrCr, 0) => {
                    self.nul_stripped = true;
                    self.end_line(out, Position::CrNul);
                    index += 1;
                }
                (Position::CrCr, b'\r') => {
                    self.end_line(out, Position::CrCr);
                    index += 1;
                }
                (Position::CrCr, _) => {
                    self.end_line(out, AFTER_BARE);
                    self.end_line(out, AFTER_BARE);
                }
            }
        }
        Decoded::More
    }

    /// Whether NUL octets were dropped so far.
    pub fn nul_stripped(&self) -> bool {
        self.nul_stripped
    }

    /// Whether lone CR or LF line ends were mended so far.
    pub fn line_ends_mended(&self) -> bool {
        self.line_ends_mended
    }

    fn end_line(&mut self, out: &mut BytesMut, at: Position) {
        out.extend_from_slice(b"\r\n");
        self.line_ends_mended = true;
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and the octets left behind the end; `None` when it did not end.
    fn decode(input: &[u8], piece: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut decoder = DataDecoder::default();
        let mut out = BytesMut::new();
        let mut start = 0;
        for bytes in input.chunks(piece) {
            if let Decoded::End(used) = decoder.decode(bytes, &mut out) {
                return (out.to_vec(), Some(input[start + used..].to_vec()));
            }
            start += bytes.len();
        }
        (out.to_vec(), None)
    }

    #[test]
    fn content_is_the_same_for_every_split_point() {
        for (input, content, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n", b""),
            (b"\r\n.\r\n", b"\r\n", b""),
            (b"a\nb\rc\r\n.\r\n", b"a\r\nb\r\nc\r\n", b""),
            (b"a\r\r\nb\r\n.\r\n", b"a\r\nb\r\n", b""),
            (b"a\r\rb\r\n.\r\n", b"a\r\n\r\nb\r\n", b""),
            (b"a\r\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n", b""),
            (b"\0a\0\r\n.\r\n", b"a\r\n", b""),
        ] {
            for piece in 1..=input.len() {
                assert_eq!(
                    decode(input, piece),
                    (content.to_vec(), Some(rest.to_vec())),
                    "{input:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_message() {
        for ending in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\n.\r",
            b"\r.\n",
            b"\r\n.\0\r\n",
        ] {
            let mut input = b"a".to_vec();
            input.extend_from_slice(ending);
            input.extend_from_slice(b"MAIL FROM:<x@y>\r\n");
            for piece in 1..=input.len() {
                let (content, rest) = decode(&input, piece);
                assert_eq!(rest, None, "{ending:?}");
                assert!(content.ends_with(b"MAIL FROM:<x@y>\r\n"), "{content:?}");
            }
        }
    }
}
