//! The layers of what was written, merged into one tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use config::{Environment, File, FileFormat};
use serde_json::{Map, Value};

/// The reference file: all keys, all defaults, all explanations.
pub const REFERENCE: &str = include_str!("../../config/gateway.toml");

/// Where settings come from, lowest layer first; the reference is below all of them.
#[derive(Debug, Default)]
pub struct Sources {
    /// TOML texts compiled in above the reference, such as the demo's.
    pub built_in: Vec<&'static str>,
    /// The operator's file.
    pub file: Option<PathBuf>,
    /// Environment variables.
    pub environment: HashMap<String, String>,
    /// Flags, as dotted keys.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The process's environment, and a file if one is named.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            ..Self::default()
        }
    }
}

/// The merged tree, not yet checked.
#[derive(Clone)]
pub struct Settings {
    pub(super) tree: Map<String, Value>,
    pub(super) origins: Origins,
}

/// Where a value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// In the reference.
    Default,
    /// In a text that is compiled in above it, such as the demo's.
    BuiltIn,
    /// In the operator's file.
    File(PathBuf),
    /// In this variable of the environment.
    Environment(String),
    /// In a flag.
    Flag,
    /// In the entry of the section that all others go by.
    Inherited(String, Box<Self>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
            Self::Inherited(entry, origin) => write!(f, "{entry}, {origin}"),
        }
    }
}

/// By full key.
pub(super) type Origins = BTreeMap<String, Origin>;

/// Layers merged so far, and where each of their values was written.
#[derive(Default)]
struct Layers {
    tree: Map<String, Value>,
    origins: Origins,
}

impl Layers {
    /// Puts a layer on top.
    fn put(&mut self, layer: Map<String, Value>, origin: &dyn Fn(&str) -> Origin) {
        note(&mut self.origins, "", &layer, origin);
        merge(&mut self.tree, layer);
    }
}

fn note(
    origins: &mut Origins,
    path: &str,
    table: &Map<String, Value>,
    origin: &dyn Fn(&str) -> Origin,
) {
    for (key, value) in table {
        let full = joined(path, key);
        match value {
            Value::Object(inner) => note(origins, &full, inner, origin),
            _ => {
                let from = origin(&full);
                origins.insert(full, from);
            }
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

impl Settings {
    /// Reads and merges all layers.
    ///
    /// # Errors
    /// When a file can't be read or is not TOML.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let text = |text: &str, name| layer(File::from_str(text, FileFormat::Toml), name);
        let mut reference = Layers::default();
        reference.put(text(REFERENCE, "reference")?, &|_| Origin::Default);
        let mut own = Layers::default();
        for built_in in &sources.built_in {
            own.put(text(built_in, "built in")?, &|_| Origin::BuiltIn);
        }
        if let Some(path) = &sources.file {
            let name = path.display().to_string();
            if !path.is_file() {
                return Err(ConfigError::one(
                    "--config",
                    &name,
                    "a file that exists and can be read",
                ));
            }
            let file = File::from(path.as_path()).format(FileFormat::Toml);
            own.put(layer(file, &name)?, &|_| Origin::File(path.clone()));
        }
        own.put(environment(&sources.environment)?, &|key| {
            Origin::Environment(variable(key))
        });
        if let Some(key) = sources.environment.get(KEY_VARIABLE) {
            let mut short = Map::new();
            set(&mut short, "accounts.default.api_key", key);
            own.put(short, &|_| Origin::Environment(KEY_VARIABLE.to_owned()));
        }
        for (key, value) in &sources.flags {
            let mut flag = Map::new();
            set(&mut flag, key, value);
            own.put(flag, &|_| Origin::Flag);
        }
        for template in &TEMPLATES {
            template.fill(&mut reference, &mut own);
        }
        reference.origins.extend(own.origins);
        merge(&mut reference.tree, own.tree);
        let Layers { tree, origins } = reference;
        Ok(Self { tree, origins })
    }

    /// The full keys whose values are not the same in `other`.
    pub fn differing_keys(&self, other: &Self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        differing(&mut keys, "", &self.tree, &other.tree);
        keys
    }

    /// The tree as TOML, secrets masked, each value with where it comes from.
    pub fn masked(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text, "", &self.tree);
        text
    }

    fn write_table(&self, text: &mut String, path: &str, table: &Map<String, Value>) {
        for (key, value) in table.iter().filter(|(_, value)| !value.is_object()) {
            let shown = match value {
                // What could be read is the name of a file, and no secret.
                _ if is_plain(key) || key.ends_with("_file") => value.to_string(),
                Value::String(text) if text.is_empty() => value.to_string(),
                _ => "\"********\"".to_owned(),
            };
            let origin = self.origins.get(&joined(path, key));
            let origin = origin.map(|origin| format!("  # {origin}"));
            text.push_str(&format!("{key} = {shown}{}\n", origin.unwrap_or_default()));
        }
        for (key, value) in table {
            if let Value::Object(inner) = value {
                let path = joined(path, key);
                if inner.values().any(|value| !value.is_object()) {
                    text.push_str(&format!("\n[{path}]\n"));
                }
                self.write_table(text, &path, inner);
            }
        }
    }
}

impl fmt::Debug for Settings {
    /// Secrets are somewhere in the tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The keys below `path` whose values differ.
fn differing(
    keys: &mut BTreeSet<String>,
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) {
    for key in before.keys().chain(after.keys()) {
        let full = joined(path, key);
        match (before.get(key), after.get(key)) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                differing(keys, &full, before, after);
            }
            (before, after) if before != after => drop(keys.insert(full)),
            _ => {}
        }
    }
}

/// A section of named tables, one of which holds the defaults of all.
struct Template {
    section: &'static str,
    entry: &'static str,
    /// What each entry says for itself.
    own: &'static [&'static str],
}

const TEMPLATES: [Template; 2] = [
    Template {
        section: "listeners",
        entry: "lan",
        // A second listener on the first one's port is never what was meant.
        own: &["bind"],
    },
    Template {
        section: "accounts",
        entry: "default",
        // Nor is a second account that sends by the first one's key.
        own: &["api_key", "api_key_file"],
    },
];

impl Template {
    /// Fills every entry of the section: with the reference's values, above them with what the operator wrote for the
    /// entry that all others go by. That one is itself there only if it was written, or if no other was.
    fn fill(&self, reference: &mut Layers, own: &mut Layers) {
        let Layers { tree, origins } = own;
        let Some(Value::Object(written)) = tree.get_mut(self.section) else {
            return;
        };
        let Some(Value::Object(mut section)) = reference.tree.remove(self.section) else {
            return;
        };
        let Some(Value::Object(defaults)) = section.remove(self.entry) else {
            return;
        };
        let template = joined(self.section, self.entry);
        let shared = match written.get(self.entry) {
            Some(Value::Object(shared)) => shared.clone(),
            _ => Map::new(),
        };
        for (name, entry) in written {
            let Value::Object(entry) = entry else {
                continue;
            };
            let (path, another) = (joined(self.section, name), name != self.entry);
            let mut filled = defaults.clone();
            filled.retain(|key, _| !(another && self.own.contains(&key.as_str())));
            for (key, value) in &mut filled {
                let mut origin = Origin::Default;
                if let Some(shared) = shared.get(key).filter(|_| another) {
                    value.clone_from(shared);
                    let from = origins.get(&joined(&template, key)).cloned();
                    let from = Box::new(from.unwrap_or(Origin::Default));
                    origin = Origin::Inherited(template.clone(), from);
                }
                origins.entry(joined(&path, key)).or_insert(origin);
            }
            merge(&mut filled, std::mem::take(entry));
            *entry = filled;
        }
    }
}

fn layer<T>(source: T, name: &str) -> Result<Map<String, Value>, ConfigError>
where
    T: config::Source + Send + Sync + 'static,
{
    config::Config::builder()
        .add_source(source)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| ConfigError::one(name, &without_source(&error.to_string()), ""))
}

/// What is wrong with a TOML text, and where. The line itself may hold a secret.
fn without_source(words: &str) -> String {
    // The library names the file once more, by a path of its own making.
    let words = words
        .rsplit_once(" in ")
        .map_or(words, |(words, _)| words)
        .trim_end();
    let mut lines = words.lines();
    match lines.next() {
        Some(place) if place.starts_with("TOML parse error at ") => {
            // A rule, the line, and the mark below it.
            let why: Vec<&str> = lines.skip(3).collect();
            format!("{place}: {}", why.join(" "))
        }
        _ => words.to_owned(),
    }
}

/// An empty variable is kept: what reads it decides whether it means an empty list, or nothing that makes sense.
fn environment(variables: &HashMap<String, String>) -> Result<Map<String, Value>, ConfigError> {
    let ours = variables
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let source = Environment::with_prefix("S2G")
        .prefix_separator("__")
        .separator("__")
        .source(Some(ours));
    layer(source, "environment")
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

const PREFIX: &str = "S2G__";
/// The one key that has a shorter name, too.
const KEY_VARIABLE: &str = "SMTP2GO_API_KEY";

fn set(tree: &mut Map<String, Value>, key: &str, value: &str) {
    match key.split_once('.') {
        None => {
            tree.insert(key.to_owned(), Value::String(value.to_owned()));
        }
        Some((table, rest)) => {
            let entry = tree
                .entry(table)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(table) = entry {
                set(table, rest, value);
            }
        }
    }
}

fn merge(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// A value as it may be shown in a mistake: only under a key that is known to hold no secret. A secret may be anywhere
/// else, under a key that is misspelt, in a section that is misplaced, or instead of the file that holds it.
pub(super) fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Object(_) => "(a table)".to_owned(),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            HIDDEN.to_owned()
        }
        // With the name and password of a proxy, or a token.
        Value::String(text) if key == "api_url" && text.contains(['@', '?', '#']) => {
            HIDDEN.to_owned()
        }
        value if is_plain(key) => value.to_string(),
        _ => HIDDEN.to_owned(),
    }
}

const HIDDEN: &str = "(hidden)";

/// Whether values of this key are never secret.
fn is_plain(key: &str) -> bool {
    PLAIN_KEYS.contains(&key)
}

const PLAIN_KEYS: &[&str] = &[
    "account",
    "allowed_senders",
    "answer_timeout",
    "api_url",
    "bind",
    "ca_file",
    "cert_file",
    "clear_auth",
    "command_timeout",
    "concurrency",
    "confirm_after",
    "connect_timeout",
    "data_dir",
    "data_timeout",
    "enabled",
    "format",
    "from_address",
    "from_override",
    "give_up_after",
    "hidden",
    "hostname",
    "i_know_nat",
    "interval",
    "level",
    "max_connections",
    "max_connections_per_address",
    "max_message_size",
    "max_passes",
    "max_received",
    "max_recipients",
    "max_size",
    "max_size_per_device",
    "max_spool_size",
    "min_free_disk",
    "min_rate",
    "min_upload_rate",
    "mismatch",
    "networks",
    "probe_interval",
    "profile",
    "received",
    "require_persistent_spool",
    "require_tls",
    "retention",
    "retry_first",
    "retry_max",
    "shrink_guard",
    "smtp_user",
    "source",
    "stale_after",
    "suppressions_full",
    "tls",
    "trust",
    "unknown",
    "user_sign_in",
    "username",
    "when_stale",
    "without_rules",
];

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The full key.
    pub key: String,
    /// What was written; hidden for secrets.
    pub value: String,
    /// What was expected; empty where the value is an error message that says so.
    pub expected: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            expected,
        } = self;
        if expected.is_empty() {
            return write!(f, "{key}: {value}");
        }
        write!(f, "{key} = {value}: expected {expected}")
    }
}

/// Everything that is wrong, at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// In the order of the reference.
    pub mistakes: Vec<Mistake>,
}

impl ConfigError {
    pub(super) fn one(key: &str, value: &str, expected: &str) -> Self {
        Self {
            mistakes: vec![Mistake {
                key: key.to_owned(),
                value: value.to_owned(),
                expected: expected.to_owned(),
            }],
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.as_slice() {
            [_] => f.write_str("one setting is wrong")?,
            mistakes => write!(f, "{} settings are wrong", mistakes.len())?,
        }
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_reference_is_plain_or_a_secret() {
        let reference = layer(File::from_str(REFERENCE, FileFormat::Toml), "reference");
        let mut origins = Origins::new();
        note(&mut origins, "", &reference.expect("TOML"), &|_| {
            Origin::Default
        });
        for key in origins.keys() {
            let name = key.rsplit('.').next().unwrap_or_default();
            let secret = ["api_key", "token", "key_file"].contains(&name);
            assert_eq!(is_plain(name), !secret, "{key}");
        }
        for name in [
            "password",
            "password_hash",
            "password_file",
            "api_key_file",
            "colour",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn a_value_is_shown_only_where_it_holds_no_secret() {
        let hidden = |key: &str, value: Value| shown(key, &value) == HIDDEN;
        assert_eq!(shown("bind", &Value::from("0.0.0.0:25")), "\"0.0.0.0:25\"");
        assert!(hidden("colour", Value::from("SECRET")));
        assert!(hidden(
            "api_url",
            Value::from("https://:SECRET@api.smtp2go.com/v3")
        ));
        for inside in [r#"[{"password": "SECRET"}]"#, r#"["10.0.0.1", ["SECRET"]]"#] {
            let list: Value = serde_json::from_str(inside).expect("a list");
            assert!(hidden("trust", list), "{inside}");
        }
        let table: Value = serde_json::from_str(r#"{"password": "SECRET"}"#).expect("a table");
        assert_eq!(shown("bind", &table), "(a table)");
    }
}
