//! Reads one table of the tree, collecting mistakes instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::mail::read_network;

use super::secret::Secret;
use super::settings::{Mistake, Origin, Origins, Settings, shown};

/// All mistakes of one resolution.
#[derive(Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(super) fn add(&self, key: impl Into<String>, value: impl Display, expected: impl Display) {
        let key = key.into();
        let mut mistakes = self.0.borrow_mut();
        // One mistake a key and value; what follows from it is not worth a second line.
        let value = value.to_string();
        let known = |mistake: &Mistake| mistake.key == key && mistake.value == value;
        if !mistakes.iter().any(known) {
            mistakes.push(Mistake {
                key,
                value,
                expected: expected.to_string(),
            });
        }
    }

    pub(super) fn into_vec(self) -> Vec<Mistake> {
        self.0.into_inner()
    }
}

/// A table that is read key by key; keys that nobody reads are mistakes.
pub(super) struct Reader<'a> {
    table: &'a Map<String, Value>,
    path: String,
    read: RefCell<BTreeSet<&'a str>>,
    mistakes: &'a Mistakes,
    origins: &'a Origins,
    /// The table itself is a mistake; its keys need not be reported as missing, too.
    muted: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn root(settings: &'a Settings, mistakes: &'a Mistakes) -> Self {
        Self {
            table: &settings.tree,
            path: String::new(),
            read: RefCell::default(),
            mistakes,
            origins: &settings.origins,
            muted: false,
        }
    }

    fn below(&self, table: &'a Map<String, Value>, path: String) -> Self {
        Self {
            table,
            path,
            read: RefCell::default(),
            mistakes: self.mistakes,
            origins: self.origins,
            muted: false,
        }
    }

    /// The full name of a key of this table.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn wrong(&self, key: &str, expected: impl Display) {
        if self.muted {
            return;
        }
        if let Some(name) = self.empty_variable(key) {
            let expected = format!("a value in {name}, or no such variable");
            self.mistakes.add(self.key(key), "(empty)", expected);
            return;
        }
        let value = match self.table.get(key) {
            Some(Value::String(text)) if text.is_empty() => "(missing)".to_owned(),
            Some(value) => match self.origins.get(&self.key(key)) {
                Some(Origin::Inherited(entry, _)) => format!("{} (of {entry})", shown(key, value)),
                _ => shown(key, value),
            },
            None => "(missing)".to_owned(),
        };
        self.mistakes.add(self.key(key), value, expected);
    }

    /// The variable of the environment that makes this key an empty text.
    fn empty_variable(&self, key: &str) -> Option<&'a str> {
        match self.origins.get(&self.key(key)) {
            Some(Origin::Environment(name)) if self.is_empty_text(key) => Some(name),
            _ => None,
        }
    }

    /// The tables in the section `key`, by name.
    pub(super) fn tables(&self, key: &'static str) -> Vec<(String, Reader<'a>)> {
        self.read.borrow_mut().insert(key);
        let Some(section) = self.table.get(key) else {
            return Vec::new();
        };
        let Value::Object(section) = section else {
            self.wrong(key, "tables with names of your choice");
            return Vec::new();
        };
        let path = self.key(key);
        let mut tables = Vec::new();
        for (name, value) in section {
            match value {
                Value::Object(table) => {
                    tables.push((name.clone(), self.below(table, format!("{path}.{name}"))));
                }
                value => self.mistakes.add(
                    format!("{path}.{name}"),
                    shown("", value),
                    format!("a table: write [{path}.NAME] first"),
                ),
            }
        }
        tables
    }

    /// The one table `key`.
    pub(super) fn table(&self, key: &'static str) -> Reader<'a> {
        static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.read.borrow_mut().insert(key);
        match self.table.get(key) {
            Some(Value::Object(table)) => self.below(table, self.key(key)),
            _ => {
                self.wrong(key, "a table");
                Reader {
                    muted: true,
                    ..self.below(&EMPTY, self.key(key))
                }
            }
        }
    }

    /// Whether something is written there.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.table.contains_key(key) && !self.is_empty_text(key)
    }

    /// Whether a list has anything in it, right or wrong.
    pub(super) fn has_items(&self, key: &str) -> bool {
        match self.table.get(key) {
            Some(Value::Array(items)) => !items.is_empty(),
            _ => self.is_written(key),
        }
    }

    /// A text; `None` where it is missing or empty.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.read.borrow_mut().insert(key);
        match self.table.get(key)? {
            Value::String(text) if text.is_empty() => {
                if self.empty_variable(key).is_some() {
                    self.wrong(key, "");
                }
                None
            }
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(key, "a text in quotes");
                None
            }
        }
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T: FromStr>(&self, key: &'static str, expected: &str) -> Option<T> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.wrong(key, expected);
                None
            }
        }
    }

    /// One of a few words; the first is taken where the value is wrong.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> T {
        let text = self.text(key);
        let found = choices
            .iter()
            .find(|(word, _)| text.as_deref() == Some(*word));
        match found {
            Some((_, value)) => *value,
            None => {
                // A value of the wrong type was reported already.
                if text.is_some() || !self.table.contains_key(key) || self.is_empty_text(key) {
                    let words: Vec<String> = choices
                        .iter()
                        .map(|(word, _)| format!("\"{word}\""))
                        .collect();
                    self.wrong(key, format!("one of {}", words.join(", ")));
                }
                choices[0].1
            }
        }
    }

    /// Yes or no; no where it is wrong.
    pub(super) fn flag(&self, key: &'static str) -> bool {
        self.read.borrow_mut().insert(key);
        match self.table.get(key) {
            Some(Value::Bool(flag)) => *flag,
            // From the environment everything is text.
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text == "false" => false,
            _ => {
                self.wrong(key, "true or false");
                false
            }
        }
    }

    /// A whole number within bounds; the lower bound where it is wrong.
    pub(super) fn number(&self, key: &'static str, min: u64, max: u64) -> u64 {
        self.read.borrow_mut().insert(key);
        let number = match self.table.get(key) {
            Some(Value::Number(number)) => number.as_u64(),
            // From the environment everything is text.
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (min..=max).contains(&number) => number,
            _ => {
                self.wrong(key, format!("a whole number from {min} to {max}"));
                min
            }
        }
    }

    /// A time such as `15s` or `3d`, within bounds.
    pub(super) fn duration(&self, key: &'static str, min: Duration, max: Duration) -> Duration {
        let parsed = self
            .text(key)
            .and_then(|text| humantime::parse_duration(&text).ok());
        match parsed {
            Some(duration) if (min..=max).contains(&duration) => duration,
            _ => {
                let (min, max) = (
                    humantime::format_duration(min),
                    humantime::format_duration(max),
                );
                self.wrong(key, format!("a time such as \"90s\" from {min} to {max}"));
                Duration::ZERO
            }
        }
    }

    /// A list of texts, or one text with commas.
    pub(super) fn list<T: FromStr>(&self, key: &'static str, expected: &str) -> Vec<T> {
        self.read.borrow_mut().insert(key);
        let items: Vec<String> = match self.table.get(key) {
            None => return Vec::new(),
            Some(Value::String(text)) => text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => shown(key, other),
                })
                .collect(),
            Some(_) => {
                self.wrong(key, format!("a list of {expected}"));
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for item in items {
            match item.parse() {
                Ok(value) => values.push(value),
                Err(_) => self
                    .mistakes
                    .add(self.key(key), format!("{item:?}"), expected),
            }
        }
        values
    }

    /// A list of networks; a bare address is a network of one.
    pub(super) fn networks(&self, key: &'static str) -> Vec<IpNet> {
        let networks: Vec<Network> = self.list(
            key,
            "a network such as \"10.0.5.0/24\", or an address such as \"10.0.5.17\"",
        );
        networks.into_iter().map(|network| network.0).collect()
    }

    /// A secret, from `key` or from the file that `file_key` names.
    pub(super) fn secret(
        &self,
        key: &'static str,
        file_key: &'static str,
    ) -> Option<Secret<String>> {
        let (direct, file) = (self.text(key), self.text(file_key));
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.wrong(file_key, format!("only one of {key} and {file_key}"));
                None
            }
            (Some(secret), None) => Some(Secret::new(secret)),
            (None, Some(path)) => match std::fs::read(&path) {
                Ok(octets) => match read_secret(&octets, key != "password") {
                    Ok(secret) => Some(Secret::new(secret)),
                    Err(expected) => {
                        self.wrong(file_key, expected);
                        None
                    }
                },
                Err(error) => {
                    let looks_like_it = if path.contains('/') {
                        String::new()
                    } else {
                        format!("; the {key} itself belongs into {key}")
                    };
                    let expected = format!("a file that can be read ({error}){looks_like_it}");
                    self.wrong(file_key, expected);
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Reports every key that nobody has read.
    pub(super) fn finish(self) {
        let read = self.read.borrow();
        for key in self.table.keys() {
            if !read.contains(key.as_str()) {
                let near = read
                    .iter()
                    .copied()
                    .find(|known| is_near(known, key))
                    .map(|known| format!(" (did you mean {known}?)"))
                    .unwrap_or_default();
                self.wrong(key, format!("no such key{near}"));
            }
        }
    }

    fn is_empty_text(&self, key: &str) -> bool {
        matches!(self.table.get(key), Some(Value::String(text)) if text.is_empty())
    }
}

/// The secret that a file holds; one line end behind it does not count. Where it is `bare`, it is known to have neither
/// spaces nor quotes around it.
///
/// # Errors
/// What is expected instead, in words that say what to mend; never what the file holds.
fn read_secret(octets: &[u8], bare: bool) -> Result<String, String> {
    if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
        return Err("a file in UTF-8: this one is in UTF-16".to_owned());
    }
    if octets.starts_with(b"\xef\xbb\xbf") {
        return Err("a file without a byte order mark at its start".to_owned());
    }
    let text = std::str::from_utf8(octets).map_err(|_| "a file in UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Err("a file that is not empty".to_owned());
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    if lines > 1 {
        return Err(format!("a file of one line: this one has {lines}"));
    }
    if text.contains(['\n', '\r']) {
        return Err("a file without blank lines".to_owned());
    }
    match blemish(text).filter(|_| bare) {
        Some(blemish) => Err(format!("a file without {blemish}")),
        None => Ok(text.to_owned()),
    }
}

/// What stands around a secret and is no part of it, as copying and quoting leave it.
pub(super) fn blemish(text: &str) -> Option<&'static str> {
    let quoted = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if text.trim() != text {
        Some("spaces around what it holds")
    } else if quoted('"') || quoted('\'') {
        Some("quotes around what it holds")
    } else {
        None
    }
}

struct Network(IpNet);

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        read_network(text).map(Self).ok_or(())
    }
}

/// Whether one letter, or an order of letters, makes the difference.
fn is_near(known: &str, written: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.sort_unstable();
        letters
    };
    if written.len() < 5 {
        return false;
    }
    let (known, written) = (sorted(known), sorted(written));
    let common = written
        .iter()
        .filter(|letter| known.contains(letter))
        .count();
    known.len().abs_diff(written.len()) <= 1 && common + 1 >= written.len().max(known.len())
}
