//! The layers of what was written, merged into one tree.

use std::collections::{BTreeSet, HashMap};
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
}

impl Settings {
    /// Reads and merges all layers.
    ///
    /// # Errors
    /// When a file can't be read or is not TOML.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let reference = layer(File::from_str(REFERENCE, FileFormat::Toml), "reference")?;
        let mut own = Map::new();
        for text in &sources.built_in {
            merge(
                &mut own,
                layer(File::from_str(text, FileFormat::Toml), "built in")?,
            );
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
            merge(&mut own, layer(file, &name)?);
        }
        merge(&mut own, environment(&sources.environment)?);
        for (key, value) in &sources.flags {
            set(&mut own, key, value);
        }
        let mut tree = reference;
        for (section, template) in TEMPLATES {
            instantiate(&mut tree, &mut own, section, template);
        }
        merge(&mut tree, own);
        Ok(Self { tree })
    }

    /// The full keys whose values are not the same in `other`.
    pub fn differing_keys(&self, other: &Self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        differing(&mut keys, "", &self.tree, &other.tree);
        keys
    }

    /// The tree as TOML, secrets masked.
    pub fn masked(&self) -> String {
        let mut text = String::new();
        write_table(&mut text, "", &self.tree);
        text
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
        let full = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match (before.get(key), after.get(key)) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                differing(keys, &full, before, after);
            }
            (before, after) if before != after => drop(keys.insert(full)),
            _ => {}
        }
    }
}

/// Sections of named tables, and the entry of the reference that holds the defaults of all.
const TEMPLATES: [(&str, &str); 2] = [("listeners", "lan"), ("accounts", "default")];

/// Fills every entry of a section with the template's values. Where the operator wrote any entry,
/// the template itself is not one of them.
fn instantiate(
    tree: &mut Map<String, Value>,
    own: &mut Map<String, Value>,
    section: &str,
    template: &str,
) {
    let Some(Value::Object(written)) = own.get_mut(section) else {
        return;
    };
    let Some(Value::Object(mut reference)) = tree.remove(section) else {
        return;
    };
    let Some(Value::Object(defaults)) = reference.remove(template) else {
        return;
    };
    for (name, entry) in written {
        let Value::Object(entry) = entry else {
            continue;
        };
        let mut filled = defaults.clone();
        if name != template {
            // A second listener on the first one's port is never what was meant.
            filled.remove("bind");
        }
        merge(&mut filled, std::mem::take(entry));
        *entry = filled;
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
        .map_err(|error| {
            let words = error.to_string();
            // The library names the source once more, by a path of its own making.
            let words = words
                .rsplit_once(" in ")
                .map_or(&*words, |(words, _)| words);
            ConfigError::one(name, words.trim_end(), "")
        })
}

fn environment(variables: &HashMap<String, String>) -> Result<Map<String, Value>, ConfigError> {
    let ours = variables
        .iter()
        .filter(|(name, value)| name.starts_with("S2G__") && !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let source = Environment::with_prefix("S2G")
        .prefix_separator("__")
        .separator("__")
        .source(Some(ours));
    let mut tree = layer(source, "environment")?;
    if let Some(key) = variables
        .get("SMTP2GO_API_KEY")
        .filter(|key| !key.is_empty())
    {
        set(&mut tree, "accounts.default.api_key", key);
    }
    Ok(tree)
}

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

fn write_table(text: &mut String, path: &str, table: &Map<String, Value>) {
    for (key, value) in table {
        if !value.is_object() {
            let shown = match value {
                Value::String(secret) if is_secret(key) && !secret.is_empty() => {
                    "\"********\"".to_owned()
                }
                value => value.to_string(),
            };
            text.push_str(&format!("{key} = {shown}\n"));
        }
    }
    for (key, value) in table {
        if let Value::Object(inner) = value {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            if inner.values().any(|value| !value.is_object()) {
                text.push_str(&format!("\n[{path}]\n"));
            }
            write_table(text, &path, inner);
        }
    }
}

/// Keys whose values are never shown.
pub(super) fn is_secret(key: &str) -> bool {
    matches!(key, "api_key" | "password" | "password_hash" | "token")
}

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
