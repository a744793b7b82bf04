//! Encoded words (RFC 2047 §2), and which of them everybody decodes alike.
//!
//! A word that we read one way and the reader at the other end another way can hide an address. So only words of a
//! few character sets count as readable: those in which each of `@ , < > ; :` is the octet of ASCII.
//!
//! RFC 2047 §2, §5, §6.2

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A word that was decoded.
#[derive(Debug)]
struct Word {
    span: Range<usize>,
    octets: Vec<u8>,
}

/// A field's value on one line; octets that are no UTF-8 are taken for Latin-1.
pub(super) fn unfolded(value: &[u8]) -> String {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    };
    text.replace(['\r', '\n', '\t'], " ")
}

/// Whether no encoded word of the value can be taken for an address, or for two of them.
pub(super) fn are_plain(value: &[u8]) -> bool {
    if memchr::memmem::find(value, b"=?").is_none() {
        return true;
    }
    let plain = |word: &Word| !word.octets.iter().any(|octet| b"@,<>;:".contains(octet));
    encoded_words(&unfolded(value)).is_some_and(|words| words.iter().all(plain))
}

/// The text as it stands, and as programs show it that decode its words: without the space between two words, as
/// RFC 2047 §6.2 says, and with it. `None` where a word can't be read, or not by everybody alike.
pub(super) fn readings(text: &str) -> Option<Vec<String>> {
    let words = encoded_words(text)?;
    let mut readings = vec![text.to_owned()];
    if words.is_empty() {
        return Some(readings);
    }
    let (mut joined, mut spaced) = (String::new(), String::new());
    let mut from = 0;
    for word in &words {
        let gap = &text[from..word.span.start];
        if from == 0 || !gap.trim().is_empty() {
            joined.push_str(gap);
        }
        spaced.push_str(gap);
        let shown = String::from_utf8_lossy(&word.octets);
        joined.push_str(&shown);
        spaced.push_str(&shown);
        from = word.span.end;
    }
    for reading in [&mut joined, &mut spaced] {
        reading.push_str(&text[from..]);
    }
    readings.extend([joined, spaced]);
    Some(readings)
}

fn encoded_words(text: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("=?") {
        let start = from + found;
        let (octets, length) = decode(&text[start..])?;
        let end = start + length;
        // Glued to other text some programs decode it and some don't.
        let before = text[..start].chars().next_back();
        let behind = text[end..].chars().next();
        let alone = before.is_none_or(|character| " \"(,;:".contains(character))
            && behind.is_none_or(|character| " \"),;<".contains(character));
        if !alone {
            return None;
        }
        words.push(Word {
            span: start..end,
            octets,
        });
        from = end;
    }
    // Who decodes twice would find another word.
    let all: Vec<u8> = words
        .iter()
        .flat_map(|word| word.octets.iter().copied())
        .collect();
    memchr::memmem::find(&all, b"=?").is_none().then_some(words)
}

/// The word that `text` begins with, and its length.
fn decode(text: &str) -> Option<(Vec<u8>, usize)> {
    let mut parts = text.strip_prefix("=?")?.splitn(4, '?');
    let (charset, encoding, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let closed = parts.next()?.starts_with('=');
    if !closed || !encoded.bytes().all(|octet| octet.is_ascii_graphic()) {
        return None;
    }
    let octets = match encoding {
        "q" | "Q" => decode_q(encoded)?,
        "b" | "B" => UNPADDED.decode(encoded).ok()?,
        _ => return None,
    };
    // A language may follow (RFC 2231 §5).
    let name = charset
        .split('*')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let name = canonical(&name);
    let octets = without_pairs(name, octets);
    let whole = name != "utf-8" || std::str::from_utf8(&octets).is_ok();
    let escape = |octet: u8| octet == 0x1b && name == "iso-2022-jp";
    let clean = octets
        .iter()
        .all(|octet| !octet.is_ascii_control() || escape(*octet));
    let length = "=????=".len() + charset.len() + encoding.len() + encoded.len();
    (is_readable(name) && whole && clean).then_some((octets, length))
}

fn decode_q(encoded: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'_' => b' ',
            b'=' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            octet => octet,
        });
    }
    Some(octets)
}

/// The name of a character set that goes by several.
fn canonical(name: &str) -> &str {
    match name {
        "utf8" => "utf-8",
        "ascii" | "ansi_x3.4-1968" => "us-ascii",
        "latin1" | "iso8859-1" | "iso_8859-1" => "iso-8859-1",
        "cp1252" => "windows-1252",
        "x-sjis" | "sjis" | "windows-31j" | "cp932" => "shift_jis",
        name => name,
    }
}

/// The octets with a question mark for each character of two: the second of them may look like a sign of ASCII.
fn without_pairs(charset: &str, octets: Vec<u8>) -> Vec<u8> {
    let paired = ["shift_jis", "gbk", "gb18030", "big5"].contains(&charset);
    let shifting = charset == "iso-2022-jp";
    if !paired && !shifting {
        return octets;
    }
    let mut kept = Vec::with_capacity(octets.len());
    let (mut at, mut kanji) = (0, false);
    while let Some(octet) = octets.get(at).copied() {
        let single_kana = charset == "shift_jis" && (0xa0..=0xdf).contains(&octet);
        if shifting && octet == 0x1b {
            kanji = octets.get(at + 1) == Some(&b'$');
            at += 3;
        } else if (shifting && kanji) || (paired && (0x81..=0xfe).contains(&octet) && !single_kana)
        {
            kept.push(b'?');
            at += 2;
        } else {
            kept.push(octet);
            at += 1;
        }
    }
    kept
}

/// Whether `@ , < > ; :` can't be anything but their octets of ASCII.
fn is_readable(charset: &str) -> bool {
    let family = |prefix: &str, numbers: std::ops::RangeInclusive<u32>| {
        let number = charset
            .strip_prefix(prefix)
            .and_then(|number| number.parse().ok());
        number.is_some_and(|number: u32| numbers.contains(&number))
    };
    CHARSETS.contains(&charset) || family("iso-8859-", 1..=16) || family("windows-", 1250..=1258)
}

const CHARSETS: [&str; 14] = [
    "utf-8",
    "us-ascii",
    "iso-2022-jp",
    "shift_jis",
    "euc-jp",
    "gb2312",
    "gbk",
    "gb18030",
    "big5",
    "euc-kr",
    "ks_c_5601-1987",
    "koi8-r",
    "koi8-u",
    "tis-620",
];

/// Some leave the padding out.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
