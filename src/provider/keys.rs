//! What an API key may do.

use serde::Serialize;
use serde::de::{Deserialize, Deserializer};
use serde_json::Value;

/// Paths, with `*` at the end of some.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Permissions(Vec<String>);

impl Permissions {
    /// Whether the list covers `path`.
    pub fn cover(&self, path: &str) -> bool {
        self.0.iter().any(|entry| match entry.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => entry == path,
        })
    }
}

impl<'de> Deserialize<'de> for Permissions {
    /// Plain texts, or objects with the text inside: documentation and examples differ (provider-api 14).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Value>::deserialize(deserializer)?;
        let text = |entry: &Value| {
            let inner = entry.as_object().and_then(|object| object.values().next());
            inner.unwrap_or(entry).as_str().map(str::to_owned)
        };
        Ok(Self(entries.iter().filter_map(text).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_permissions_covers_paths_and_wildcards() {
        for (list, covered) in [
            (r#"["/email/send","/email/mime"]"#, true),
            (r#"["/email/*"]"#, true),
            (r#"["*"]"#, true),
            (r#"[{"endpoint":"/email/mime"}]"#, true),
            (r#"["/email/send"]"#, false),
            (r#"["/email/mim"]"#, false),
            ("[]", false),
        ] {
            let permissions: Permissions = serde_json::from_str(list).expect(list);
            assert_eq!(permissions.cover("/email/mime"), covered, "{list}");
        }
    }
}
