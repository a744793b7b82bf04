//! Reading answers loosely: documentation, examples and the live service don't agree on everything.
//!
//! A member may be missing, null, of another type or spelt otherwise; members that nobody knows occur. None
//! of that is an error, and none of it is lost: what doesn't fit its type stays in `more`, untouched, beside
//! what has no type at all.
//!
//! Lists are read item by item while they come in, so that ten megabytes of nonsense never become a gigabyte: of
//! what nobody knows the meaning of only a few thousand parts are kept, however much of it there is.
//!
//! provider-api 14

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// A type that can be read from whatever comes near it.
pub trait Loose: Sized {
    /// Whether it is a list, which is read while it comes in.
    const LISTED: bool = false;
    /// How many items such a list may have.
    const ITEMS_MAX: usize = TEXTS_MAX;
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
    /// The same while it comes in; nothing where there is null.
    ///
    /// # Errors
    /// Where it is no JSON, or too much of it.
    fn from_stream<'de, D: Deserializer<'de>>(
        deserializer: D,
        _room: &mut Room,
    ) -> Result<(Option<Self>, Option<Value>), D::Error> {
        let value = Bounded(&mut { ITEM_PARTS_MAX }).deserialize(deserializer)?;
        Ok(match value {
            None | Some(Value::Null) => (None, None),
            Some(value) => Self::from_loose_part(value),
        })
    }
    /// Whether nothing is known of it: then it is as odd as what can't be read at all.
    fn is_blank(&self) -> bool {
        false
    }
    /// Counts what it holds that has no type of its own, and gives up what nobody knows beyond what there is room for.
    ///
    /// # Errors
    /// Where there is too much of what is known.
    fn weigh(&mut self, _room: &mut Room) -> Result<(), Overfull> {
        Ok(())
    }
    /// The form that the API documents.
    fn to_value(&self) -> Value;
}

/// How much of an answer may still be kept that has no type of its own; counted in parts: a value, or a member.
#[derive(Debug)]
pub struct Room {
    /// Of what nobody knows the meaning of: what is more is given up.
    unknown: usize,
    /// Of members whose type is not settled: what is more makes an answer unusable.
    untyped: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            unknown: UNKNOWN_PARTS_MAX,
            untyped: UNTYPED_PARTS_MAX,
        }
    }
}

impl Room {
    fn keeps(&mut self, parts: usize) -> bool {
        let left = self.unknown.checked_sub(parts);
        self.unknown = left.unwrap_or(self.unknown);
        left.is_some()
    }
}

/// An answer holds more than any real one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more than {UNTYPED_PARTS_MAX} values without a type")]
pub struct Overfull;

fn parts(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(parts).sum(),
        Value::Object(members) => members.values().map(parts).sum(),
        _ => 0,
    }
}

/// What a record keeps of members that nobody knows.
pub(super) fn keep_unknown(more: &mut Map<String, Value>, room: &mut Room) {
    if !more.is_empty() && !room.keeps(more.values().map(parts).sum()) {
        more.clear();
    }
}

impl Loose for Value {
    fn from_loose(value: Value) -> Result<Self, Value> {
        Ok(value)
    }

    fn weigh(&mut self, room: &mut Room) -> Result<(), Overfull> {
        room.untyped = room.untyped.checked_sub(parts(self)).ok_or(Overfull)?;
        Ok(())
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

/// An item may be wrapped like a whole answer.
fn unwrapped(item: Value) -> Value {
    match item {
        Value::Object(mut item)
            if item.len() <= 2 && item.get("data").is_some_and(Value::is_object) =>
        {
            item.remove("data").unwrap_or_default()
        }
        item => item,
    }
}

/// An item, or what it is instead: of which nothing is known is none.
fn readable<T: Loose>(item: Value) -> Result<T, Value> {
    match T::from_loose(item) {
        Ok(item) if item.is_blank() => Err(item.to_value()),
        read => read,
    }
}

impl<T: Loose> Loose for Vec<T> {
    const LISTED: bool = true;

    fn from_stream<'de, D: Deserializer<'de>>(
        deserializer: D,
        room: &mut Room,
    ) -> Result<(Option<Self>, Option<Value>), D::Error> {
        deserializer.deserialize_any(Listing(room, PhantomData))
    }

    fn weigh(&mut self, room: &mut Room) -> Result<(), Overfull> {
        self.iter_mut().try_for_each(|item| item.weigh(room))
    }

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

    /// One where several could be is a list of one. An item that can't be read costs itself, not its neighbours.
    fn from_loose_part(value: Value) -> (Option<Self>, Option<Value>) {
        let (mut read, mut odd) = (Vec::new(), Vec::new());
        let items = match value {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            // What is neither a list nor an item is not an empty list either.
            one => {
                return match readable(unwrapped(one)) {
                    Ok(item) => (Some(vec![item]), None),
                    Err(one) => (None, Some(one)),
                };
            }
        };
        for item in items {
            match readable(unwrapped(item)) {
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

/// Reads a value of at most so many parts; a larger one is skipped, and nothing is left of it.
struct Bounded<'r>(&'r mut usize);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0.checked_sub(1) {
            None => IgnoredAny::deserialize(deserializer).map(|IgnoredAny| None),
            Some(left) => {
                *self.0 = left;
                deserializer.deserialize_any(self)
            }
        }
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Some(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Some(Vec::new());
        while let Some(item) = seq.next_element_seed(Bounded(&mut *self.0))? {
            match (&mut items, item) {
                (Some(items), Some(item)) => items.push(item),
                _ => items = None,
            }
        }
        Ok(items.map(Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Some(Map::new());
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Bounded(&mut *self.0))?;
            match (&mut members, value) {
                (Some(members), Some(value)) => drop(members.insert(name, value)),
                _ => members = None,
            }
        }
        Ok(members.map(Value::Object))
    }
}

/// Reads a list while it comes in: what could be read, and what could not.
struct Listing<'r, T>(&'r mut Room, PhantomData<T>);

impl<T: Loose> Listing<'_, T> {
    /// One where several could be.
    fn one<E>(self, value: Value) -> Result<(Option<Vec<T>>, Option<Value>), E> {
        Ok(Vec::from_loose_part(value))
    }
}

impl<'de, T: Loose> Visitor<'de> for Listing<'_, T> {
    type Value = (Option<Vec<T>>, Option<Value>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        self.one(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        self.one(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        self.one(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        self.one(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        self.one(value.into())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut parts = ITEM_PARTS_MAX;
        let one = Bounded(&mut parts).deserialize(MapAccessDeserializer::new(map))?;
        // Too large for a record: there is something, and it is no list.
        self.one(one.unwrap_or(Value::Bool(false)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self(room, _) = self;
        let (mut read, mut odd) = (Vec::new(), Vec::new());
        loop {
            let mut left = ITEM_PARTS_MAX;
            let Some(item) = seq.next_element_seed(Bounded(&mut left))? else {
                break;
            };
            let item = item.unwrap_or_default();
            let value = match readable::<T>(unwrapped(item)) {
                Err(value) => value,
                Ok(mut item) => {
                    if read.len() == T::ITEMS_MAX {
                        let words = format!("a list of more than {} items", T::ITEMS_MAX);
                        return Err(A::Error::custom(words));
                    }
                    item.weigh(room).map_err(A::Error::custom)?;
                    read.push(item);
                    continue;
                }
            };
            if odd.len() < ODD_MAX {
                // That it was there counts even where it is too large to be kept.
                let kept = room.keeps(parts(&value));
                odd.push(if kept { value } else { Value::Null });
            }
        }
        let odd = (!odd.is_empty()).then_some(Value::Array(odd));
        Ok((Some(read), odd))
    }
}

/// A member of a record that is a list.
pub(super) struct Member<'r, T>(pub(super) &'r mut Room, pub(super) PhantomData<T>);

impl<'de, T: Loose> DeserializeSeed<'de> for Member<'_, T> {
    type Value = (Option<T>, Option<Value>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::from_stream(deserializer, self.0)
    }
}

/// What the macro says of a record.
pub(super) trait Record: Loose + Default {
    /// Whether it has a member of this name.
    fn knows(name: &str) -> bool;
    /// Reads a member that is a list, and gives back what could not be read of it; `None` where it is no list.
    fn read_list<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
        room: &mut Room,
    ) -> Result<Option<Option<Value>>, A::Error>;
    /// Takes over the lists that another one has.
    fn put_lists(&mut self, lists: Self);
}

/// Reads a record while it comes in.
pub(super) struct Reading<T>(pub(super) PhantomData<T>);

impl<'de, T: Record> Visitor<'de> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut room = Room::default();
        let (mut lists, mut members) = (T::default(), Map::new());
        while let Some(name) = map.next_key::<String>()? {
            let value = match lists.read_list(&name, &mut map, &mut room)? {
                Some(odd) => odd,
                None if T::knows(&name) => {
                    let mut parts = ITEM_PARTS_MAX;
                    map.next_value_seed(Bounded(&mut parts))?
                }
                None => map.next_value_seed(Bounded(&mut room.unknown))?,
            };
            if let Some(value) = value {
                members.insert(name, value);
            }
        }
        let read = T::from_loose(Value::Object(members));
        let mut read = read.map_err(|_| A::Error::custom("an object expected"))?;
        read.put_lists(lists);
        Ok(read)
    }
}

/// Of texts: more than fit into an answer of 8 MB, if they are addresses.
const TEXTS_MAX: usize = 400_000;
/// Of records: more than fit into an answer of 8 MB, if they are real ones.
pub(super) const RECORDS_MAX: usize = 50_000;
/// Of one item of a list: a thousand recipients and what became of each.
const ITEM_PARTS_MAX: usize = 5_000;
/// Of a whole answer, of what nobody knows.
const UNKNOWN_PARTS_MAX: usize = 20_000;
/// Of a whole answer, of members without a settled type: a thousand events with a hundred headers each.
const UNTYPED_PARTS_MAX: usize = 200_000;
/// Items that could not be read; what is more is not even counted.
const ODD_MAX: usize = 2_000;

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
            const ITEMS_MAX: usize = crate::provider::loose::RECORDS_MAX;

            fn is_blank(&self) -> bool {
                true $(&& self.$field.is_none())*
            }

            fn weigh(
                &mut self,
                room: &mut crate::provider::loose::Room,
            ) -> Result<(), crate::provider::loose::Overfull> {
                $(
                    if let Some(value) = &mut self.$field {
                        crate::provider::loose::Loose::weigh(value, room)?;
                    }
                )*
                crate::provider::loose::keep_unknown(&mut self.more, room);
                Ok(())
            }

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

        impl crate::provider::loose::Record for $name {
            fn knows(name: &str) -> bool {
                [$(crate::provider::loose::plain_name(stringify!($field)), $($other,)*)*].contains(&name)
            }

            fn read_list<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
                room: &mut crate::provider::loose::Room,
            ) -> Result<Option<Option<serde_json::Value>>, A::Error> {
                $(
                    let names = [crate::provider::loose::plain_name(stringify!($field)), $($other),*];
                    if <$kind as crate::provider::loose::Loose>::LISTED && names.contains(&name) {
                        let seed = crate::provider::loose::Member(room, std::marker::PhantomData::<$kind>);
                        let (read, odd) = map.next_value_seed(seed)?;
                        self.$field = read.or(self.$field.take());
                        return Ok(Some(odd));
                    }
                )*
                Ok(None)
            }

            fn put_lists(&mut self, lists: Self) {
                $(
                    if lists.$field.is_some() {
                        self.$field = lists.$field;
                    }
                )*
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let reading = crate::provider::loose::Reading(std::marker::PhantomData);
                deserializer.deserialize_any(reading)
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
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = match Vec::from_stream(deserializer, &mut Room::default())? {
            // Nothing at all is an empty list.
            (None, None) => Self::default(),
            (None, Some(_)) => return Err(D::Error::custom("a list expected")),
            (Some(items), Some(Value::Array(odd))) => Self { items, odd },
            (Some(items), _) => Self {
                items,
                odd: Vec::new(),
            },
        };
        Ok(list)
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

    record! {
        /// For the tests.
        Samples {
            samples: Vec<Sample>,
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

    #[test]
    fn megabytes_of_nonsense_leave_little_behind() {
        let many = |item: &str, octets: usize| vec![item; octets / (item.len() + 1)].join(",");
        let records = format!("[{{\"name\": \"a\"}},{}]", many("{\"a\":0}", 2_000_000));
        let list: List<Sample> = serde_json::from_str(&records).expect("a list");
        assert_eq!((list.items.len(), list.odd.len()), (1, ODD_MAX));
        assert_eq!(list.odd[0], json!({"a": 0}));

        let read: Samples =
            serde_json::from_str(&format!("{{\"samples\": {records}}}")).expect("a record");
        assert_eq!(read.samples.map(|samples| samples.len()), Some(1));
        assert_eq!(read.more["samples"].as_array().map(Vec::len), Some(ODD_MAX));

        let tags = format!(
            "{{\"tags\": [{}, \"b\"], \"name\": \"a\"}}",
            many("7", 200_000)
        );
        let read: Sample = serde_json::from_str(&tags).expect("a record");
        assert_eq!(read.tags, Some(vec!["b".to_owned()]));
        assert_eq!(read.more["tags"].as_array().map(Vec::len), Some(ODD_MAX));

        // What nobody knows is given up, what is known behind it is not.
        let unknown = format!(
            "{{\"x\": [{}], \"name\": \"a\"}}",
            many("{\"a\":0}", 400_000)
        );
        let read: Sample = serde_json::from_str(&unknown).expect("a record");
        assert_eq!((read.name.as_deref(), read.more.len()), (Some("a"), 0));

        // So many records are no answer; half a list must not be taken for all of it.
        let endless = format!("[{}]", many("{\"name\":\"a\"}", 14 * (RECORDS_MAX + 10)));
        assert!(serde_json::from_str::<List<Sample>>(&endless).is_err());
        // An item without an end is odd, and its neighbours are read.
        let huge = format!("[[{}], {{\"name\": \"a\"}}]", many("0", 100_000));
        let list: List<Sample> = serde_json::from_str(&huge).expect("a list");
        assert_eq!((list.items.len(), list.odd), (1, vec![Value::Null]));
    }

    #[test]
    fn what_has_no_type_is_kept_up_to_a_limit() {
        record! {
            /// For the tests.
            Untyped {
                value: Value,
                rows: Vec<Value>,
            }
        }
        let read = |text: &str| serde_json::from_str::<Untyped>(text);
        // The type of these is not settled: half of them would be taken for all.
        let rows = |count: usize| format!("{{\"rows\": [{}]}}", vec!["0"; count].join(","));
        let kept = read(&rows(UNTYPED_PARTS_MAX / 2)).expect("a record");
        assert_eq!(
            kept.rows.map(|rows| rows.len()),
            Some(UNTYPED_PARTS_MAX / 2)
        );
        assert!(read(&rows(UNTYPED_PARTS_MAX + 1)).is_err());
        // Nobody knows these: those that are too many are given up, one record at a time.
        let record = format!("{{\"name\": \"a\", \"x\": [{}]}}", vec!["0"; 60].join(","));
        let count = UNKNOWN_PARTS_MAX / 61 + 100;
        let records = format!("[{}]", vec![record; count].join(","));
        let list: List<Sample> = serde_json::from_str(&records).expect("a list");
        assert_eq!(list.items.len(), count, "no record goes");
        let kept = list
            .items
            .iter()
            .filter(|item| !item.more.is_empty())
            .count();
        assert!(
            (1..=UNKNOWN_PARTS_MAX / 61).contains(&kept),
            "{kept} of {count}"
        );
        // And so are odd items, of which only the number is left then.
        let odd = vec![format!("[{}]", vec!["0"; 300].join(",")); 500].join(",");
        let list: List<Sample> = serde_json::from_str(&format!("[{odd}]")).expect("a list");
        let whole = list.odd.iter().filter(|value| !value.is_null()).count();
        assert!(
            whole <= UNKNOWN_PARTS_MAX / 300,
            "{whole} of {}",
            list.odd.len()
        );
        assert_eq!(list.odd.len(), 500);
        // One item alone is not larger than a record can be.
        let item = format!(
            "[{{\"name\": [{}]}}, {{\"name\": \"b\"}}]",
            vec!["0"; ITEM_PARTS_MAX + 1].join(",")
        );
        let list: List<Sample> = serde_json::from_str(&item).expect("a list");
        assert_eq!((list.items.len(), list.odd), (1, vec![Value::Null]));
    }
}
