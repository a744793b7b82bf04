//! Reading answers loosely: documentation, examples and the live service don't agree on everything.
//!
//! A member may be missing, null, of another type or spelt otherwise; members that nobody knows occur. None
//! of that is an error, and none of it is lost: what doesn't fit its type stays in `more`, untouched, beside
//! what has no type at all.
//!
//! NOTES section 14

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// A type that can be read from whatever comes near it.
pub trait Loose: Sized {
    /// Reads it, or gives the value back.
    ///
    /// # Errors
    /// The value, where it can't be meant.
    fn from_loose(value: Value) -> Result<Self, Value>;
    /// Reads what can be read of it, and gives the rest back.
    fn from_loose_part(value: Value) -> (Option<Self>, Option<Value>) {
        match Self::from_loose(value) {
            Ok(read) => (Some(read), None),
            Err(value) => (None, Some(value)),
        }
    }
    /// The form that the API documents.
    fn to_value(&self) -> Value;
}

impl Loose for Value {
    fn from_loose(value: Value) -> Result<Self, Value> {
        Ok(value)
    }

    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl Loose for String {
    fn from_loose(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Loose for bool {
    fn from_loose(value: Value) -> Result<Self, Value> {
        value.as_bool().ok_or(value)
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Loose for Number {
    fn from_loose(value: Value) -> Result<Self, Value> {
        match value {
            Value::Number(number) => Ok(number),
            other => Err(other),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.clone())
    }
}

impl<T: Loose> Loose for Vec<T> {
    fn from_loose(value: Value) -> Result<Self, Value> {
        match Self::from_loose_part(value) {
            (Some(read), None) => Ok(read),
            (None, odd) => Err(odd.unwrap_or_default()),
            (Some(read), odd) => {
                let mut whole = read.to_value();
                if let (Value::Array(whole), Some(Value::Array(odd))) = (&mut whole, odd) {
                    whole.extend(odd);
                }
                Err(whole)
            }
        }
    }

    /// One where several could be is a list of one; an item may be wrapped like a whole answer. An item that
    /// can't be read costs itself, not its neighbours.
    fn from_loose_part(value: Value) -> (Option<Self>, Option<Value>) {
        let unwrapped = |item: Value| match item {
            Value::Object(mut item)
                if item.len() <= 2 && item.get("data").is_some_and(Value::is_object) =>
            {
                item.remove("data").unwrap_or_default()
            }
            item => item,
        };
        let (mut read, mut odd) = (Vec::new(), Vec::new());
        let items = match value {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            // What is neither a list nor an item is not an empty list either.
            one => {
                return match T::from_loose(unwrapped(one)) {
                    Ok(item) => (Some(vec![item]), None),
                    Err(one) => (None, Some(one)),
                };
            }
        };
        for item in items {
            match T::from_loose(unwrapped(item)) {
                Ok(item) => read.push(item),
                Err(item) => odd.push(item),
            }
        }
        let odd = (!odd.is_empty()).then_some(Value::Array(odd));
        (Some(read), odd)
    }

    fn to_value(&self) -> Value {
        self.iter().map(Loose::to_value).collect()
    }
}

/// A secret of the API's, such as a password: it is sent and read, and never shown.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Concealed(pub String);

impl std::fmt::Debug for Concealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Loose for Concealed {
    fn from_loose(value: Value) -> Result<Self, Value> {
        String::from_loose(value).map(Self)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Takes the first of these members that there is and that fits.
pub(super) fn take<T: Loose>(members: &mut Map<String, Value>, names: &[&str]) -> Option<T> {
    for name in names {
        let Some(value) = members.remove(*name) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        let (read, odd) = T::from_loose_part(value);
        if let Some(odd) = odd {
            members.insert((*name).to_owned(), odd);
        }
        if read.is_some() {
            return read;
        }
    }
    None
}

/// Writes a member; what of its list could not be read follows behind.
pub(super) fn put(members: &mut Map<String, Value>, name: &str, mut value: Value) {
    if let (Value::Array(read), Some(Value::Array(odd))) = (&mut value, members.remove(name)) {
        read.extend(odd);
    }
    members.insert(name.to_owned(), value);
}

/// Whether a request leaves this member out.
pub(super) fn absent<T: Serialize>(member: &T) -> bool {
    // An optional member that is not set is the only thing that becomes null.
    serde_json::to_value(member).is_ok_and(|value| value.is_null())
}

/// The name of a member, without what Rust needs in front of its own words.
pub(super) const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Reads an answer and writes it out again.
pub(super) fn reread<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    serde_json::to_value(&read).map_err(|error| error.to_string())
}

/// Declares a part of an answer: every member may be missing, unknown ones are kept in `more`.
macro_rules! record {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $help:literal])* $field:ident $([$other:literal])*: $kind:ty, )* }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $help])*
                pub $field: Option<$kind>,
            )*
            /// What has no place above, as it came.
            pub more: serde_json::Map<String, serde_json::Value>,
        }

        impl crate::provider::loose::Loose for $name {
            fn from_loose(value: serde_json::Value) -> Result<Self, serde_json::Value> {
                let serde_json::Value::Object(mut members) = value else {
                    return Err(value);
                };
                let members = &mut members;
                $(
                    let $field = crate::provider::loose::take(
                        members,
                        &[crate::provider::loose::plain_name(stringify!($field)), $($other),*],
                    );
                )*
                Ok(Self { $($field,)* more: std::mem::take(members) })
            }

            fn to_value(&self) -> serde_json::Value {
                let mut members = self.more.clone();
                $(
                    if let Some(value) = &self.$field {
                        let name = crate::provider::loose::plain_name(stringify!($field));
                        let value = crate::provider::loose::Loose::to_value(value);
                        crate::provider::loose::put(&mut members, name, value);
                    }
                )*
                serde_json::Value::Object(members)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                crate::provider::loose::Loose::from_loose(value)
                    .map_err(|value| serde::de::Error::custom(format!("an object expected: {value}")))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                crate::provider::loose::Loose::to_value(self).serialize(serializer)
            }
        }
    };
}
pub(super) use record;

/// Several records, where one alone, or each wrapped like an answer of its own, will do.
#[derive(Clone, Debug, PartialEq)]
pub struct List<T> {
    /// What could be read.
    pub items: Vec<T>,
    /// What could not, as it came.
    pub odd: Vec<Value>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            odd: Vec::new(),
        }
    }
}

impl<'de, T: Loose> serde::Deserialize<'de> for List<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (items, odd) = Vec::from_loose_part(Value::deserialize(deserializer)?);
        let odd = odd.unwrap_or(Value::Array(Vec::new()));
        match (items, odd) {
            (Some(items), Value::Array(odd)) => Ok(Self { items, odd }),
            (_, value) => {
                let words = format!("a list expected: {value}");
                Err(serde::de::Error::custom(words))
            }
        }
    }
}

impl<T: Loose> Serialize for List<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut whole = self.items.to_value();
        if let Value::Array(whole) = &mut whole {
            whole.extend(self.odd.iter().cloned());
        }
        whole.serialize(serializer)
    }
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro declares what others see")]
mod tests {
    use serde_json::json;

    use super::*;

    record! {
        /// For the tests.
        Sample {
            name: String,
            limit ["old_limit"]: Number,
            tags: Vec<String>,
        }
    }

    #[test]
    fn what_does_not_fit_is_kept_and_lists_may_be_single() {
        for (answer, again) in [
            (json!({}), json!({})),
            (json!({"name": null, "limit": null}), json!({})),
            (
                json!({"name": "a", "old_limit": 3}),
                json!({"name": "a", "limit": 3}),
            ),
            (
                json!({"name": 7, "limit": "unlimited"}),
                json!({"name": 7, "limit": "unlimited"}),
            ),
            (
                json!({"tags": "one", "new": [1]}),
                json!({"tags": ["one"], "new": [1]}),
            ),
            // One odd item must not hide its neighbours: they may be rules.
            (
                json!({"tags": ["one", 2, "three"]}),
                json!({"tags": ["one", "three", 2]}),
            ),
        ] {
            assert_eq!(reread::<Sample>(answer), Ok(again));
        }
        let wrapped = json!([{"request_id": "r", "data": {"name": "a"}}]);
        assert_eq!(reread::<List<Sample>>(wrapped), Ok(json!([{"name": "a"}])));
        assert_eq!(
            reread::<List<Sample>>(json!({"name": "a"})),
            Ok(json!([{"name": "a"}]))
        );
        let read: Sample =
            serde_json::from_value(json!({"tags": ["one", 2, "three"]})).unwrap_or_default();
        assert_eq!(read.tags, Some(vec!["one".to_owned(), "three".to_owned()]));
        assert_eq!(read.more["tags"], json!([2]));
        let list: List<Sample> =
            serde_json::from_value(json!([{"name": "a"}, "text"])).unwrap_or_default();
        assert_eq!((list.items.len(), list.odd), (1, vec![json!("text")]));
        assert!(reread::<Sample>(json!("text")).is_err());
        for nonsense in [json!(5), json!("maintenance")] {
            assert!(reread::<List<Sample>>(nonsense.clone()).is_err());
            let odd = json!({ "tags": {"a": nonsense} });
            let read: Sample = serde_json::from_value(odd).unwrap_or_default();
            assert_eq!(read.tags, None, "no list is not an empty list");
        }
    }
}
