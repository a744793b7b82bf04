//! An answer's envelope, taken off without a picture of what is in it.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mail::{opaque_name, shortened};

use super::error::ApiError;

/// The members that the client itself looks at; all others are skipped unread.
#[derive(Clone, Copy, Default)]
struct Members<'a> {
    data: Option<&'a RawValue>,
    request_id: Option<&'a RawValue>,
    email_response: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    /// None of them where it is no object.
    fn of(raw: &'a RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<Name>()? {
                    let place = match name {
                        Name::Data => &mut members.data,
                        Name::RequestId => &mut members.request_id,
                        Name::EmailResponse => &mut members.email_response,
                        Name::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

/// The name of a member, without keeping one that nobody asks for.
enum Name {
    Data,
    RequestId,
    EmailResponse,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl Visitor<'_> for Reading {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "data" => Name::Data,
                    "request_id" => Name::RequestId,
                    "email_response" => Name::EmailResponse,
                    _ => Name::Other,
                })
            }
        }
        deserializer.deserialize_str(Reading)
    }
}

/// The `data` of an answer (or its root, as old answers have it), and the request id.
pub(super) fn read_data<T: DeserializeOwned>(body: &[u8]) -> Result<(T, String), ApiError> {
    let unintelligible = |what: &str, error: serde_json::Error, request_id: &str| {
        let why = format!("{what}: {}", shortened(&error.to_string(), WHY_LETTERS_MAX));
        let request_id = request_id.to_owned();
        ApiError::Unintelligible { why, request_id }
    };
    let root: &RawValue =
        serde_json::from_slice(body).map_err(|error| unintelligible("not JSON", error, ""))?;
    let outer = Members::of(root);
    let inner = outer.data.map(Members::of).unwrap_or_default();
    let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).ok();
    let request_id = outer.request_id.and_then(text);
    let request_id = request_id.or_else(|| inner.request_id.and_then(text));
    let request_id = opaque_name(&request_id.unwrap_or_default());
    let data = match outer.data {
        None => root,
        // No data is an empty list to whoever expects one, and no record to others.
        Some(data) if is_null(data) => match T::deserialize(&Value::Null) {
            Ok(nothing) => return Ok((nothing, request_id)),
            Err(_) => root,
        },
        // One client reports results one level deeper.
        Some(data) => inner
            .email_response
            .filter(|inner| !is_null(inner))
            .unwrap_or(data),
    };
    match serde_json::from_str(data.get()) {
        Ok(data) => Ok((data, request_id)),
        Err(error) => Err(unintelligible(
            "not the expected members",
            error,
            &request_id,
        )),
    }
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// An error may quote what it does not like.
const WHY_LETTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_found_wherever_answers_have_it() {
        for (body, data, request_id) in [
            (
                r#"{"request_id": "r", "data": {"a": 1}}"#,
                json!({"a": 1}),
                "r",
            ),
            (r#" {"data": [1], "request_id": "r"} "#, json!([1]), "r"),
            (
                r#"{"data": {"request_id": "r"}}"#,
                json!({"request_id": "r"}),
                "r",
            ),
            (r#"{"a": 1}"#, json!({"a": 1}), ""),
            ("[1]", json!([1]), ""),
            ("5", json!(5), ""),
            (r#"{"data": null, "request_id": 5}"#, json!(null), ""),
            (
                r#"{"data": {"email_response": {"a": 1}}}"#,
                json!({"a": 1}),
                "",
            ),
            (
                r#"{"data": {"email_response": null}}"#,
                json!({"email_response": null}),
                "",
            ),
            (
                r#"{"request_id": "\u001b[2J\n\u202er", "data": 1}"#,
                json!(1),
                "[2Jr",
            ),
        ] {
            let read = read_data::<Value>(body.as_bytes()).ok();
            assert_eq!(read, Some((data, request_id.to_owned())), "{body}");
        }
        for body in ["", "{", "{\"data\": }", "{} {}", "\u{feff}{}"] {
            assert!(read_data::<Value>(body.as_bytes()).is_err(), "{body}");
        }
        let long = format!("{{\"data\": \"{}\"}}", "x\u{202e}".repeat(1_000_000));
        let error = read_data::<Vec<u8>>(long.as_bytes())
            .err()
            .map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.len() < 400 && !error.contains('\u{202e}'), "{error}");
    }
}
