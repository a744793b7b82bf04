//! What an operation of the API looks like from outside: its name, its fields, what it does to the account.
//!
//! Each operation is declared once (`groups/`), as a request type; the declaration also gives its
//! [`Operation`], from which the command line makes its flags and its help, and which the catalogue test
//! compares with the description of the API.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::loose::Concealed;

/// One operation of the API; the type is its request.
pub trait Endpoint: Serialize {
    /// How it is called.
    const METHOD: Method;
    /// Behind the base address, such as `/email/send`.
    const PATH: &'static str;
    /// Whether a call may be repeated when its answer was lost.
    const REPEATABLE: bool;
    /// The `data` of a successful answer.
    type Response: DeserializeOwned;
}

/// The HTTP methods that the API uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Nearly everything.
    Post,
    /// Edits that keep what is left out.
    Patch,
    /// The index of paths.
    Get,
}

impl Method {
    /// In capitals.
    pub fn word(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Get => "GET",
        }
    }
}

/// An operation, described.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// First word on the command line, such as `users`.
    pub group: &'static str,
    /// Second word, such as `add`.
    pub verb: &'static str,
    /// How it is called.
    pub method: Method,
    /// Behind the base address.
    pub path: &'static str,
    /// What it does, first of all in one sentence.
    pub about: &'static str,
    /// What that is known from.
    pub confidence: Confidence,
    /// What it does to the account.
    pub effect: Effect,
    /// What it takes.
    pub fields: &'static [Field],
    /// Parses an answer's `data` into the operation's type and writes it out again.
    pub reread: fn(Value) -> Result<Value, String>,
    /// The same for a request.
    pub reread_request: fn(Value) -> Result<Value, String>,
}

impl Operation {
    /// The field that asks for the next page.
    pub fn paging(&self) -> Option<&'static str> {
        let has = |name: &&str| self.fields.iter().any(|field| field.name == *name);
        ["continue_token", "page"].into_iter().find(has)
    }
}

/// How well an operation is known. None of it was tried against the live service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Confidence {
    /// The vendor's documentation.
    VendorDocs,
    /// Somebody else's report.
    ThirdParty,
    /// Our own conclusion.
    Inferred,
}

/// What an operation does to the account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Nothing: it may be repeated.
    Read,
    /// Adds or changes something, or sends.
    Change,
    /// Takes something away, or replaces a whole list: asked about first.
    Destroy,
}

/// A member of a request.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As in the API.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether the operation needs it.
    pub required: bool,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// Any number of texts.
    Texts,
    /// Any JSON.
    Json,
    /// Any number of JSON objects.
    Objects,
}

/// Types that a request's members have.
pub trait Member {
    /// What it holds.
    const KIND: Kind;
    /// Whether it must be there.
    const REQUIRED: bool = true;
}

impl Member for String {
    const KIND: Kind = Kind::Text;
}
impl Member for Concealed {
    const KIND: Kind = Kind::Text;
}
impl Member for i64 {
    const KIND: Kind = Kind::Number;
}
impl Member for bool {
    const KIND: Kind = Kind::Flag;
}
impl Member for Vec<String> {
    const KIND: Kind = Kind::Texts;
}
impl Member for Value {
    const KIND: Kind = Kind::Json;
}
impl Member for Vec<Map<String, Value>> {
    const KIND: Kind = Kind::Objects;
}
impl<T: Member> Member for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;
}

/// Declares an operation: the request type, its [`Endpoint`] and its [`Operation`].
macro_rules! operation {
    (
        $(#[doc = $about:literal])+
        $group:literal $verb:literal: $method:ident $path:literal, $confidence:ident, $effect:ident;
        $name:ident { $( $(#[doc = $help:literal])* $field:ident: $kind:ty, )* } -> $response:ty
    ) => {
        $(#[doc = $about])+
        ///
        #[doc = concat!(
            "Source: `", stringify!($method), " ", $path, "`; confidence: `", stringify!($confidence), "`."
        )]
        #[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $help])*
                #[serde(skip_serializing_if = "crate::provider::loose::absent")]
                pub $field: $kind,
            )*
        }

        impl crate::provider::Endpoint for $name {
            const METHOD: crate::provider::Method = crate::provider::Method::$method;
            const PATH: &'static str = $path;
            const REPEATABLE: bool = matches!(
                crate::provider::Effect::$effect,
                crate::provider::Effect::Read
            );
            type Response = $response;
        }

        impl $name {
            /// The operation, described.
            pub const OPERATION: crate::provider::Operation = crate::provider::Operation {
                group: $group,
                verb: $verb,
                method: crate::provider::Method::$method,
                path: $path,
                about: concat!($($about, "\n"),+),
                confidence: crate::provider::Confidence::$confidence,
                effect: crate::provider::Effect::$effect,
                fields: &[$(
                    crate::provider::Field {
                        name: crate::provider::loose::plain_name(stringify!($field)),
                        about: concat!($($help, "\n"),*),
                        kind: <$kind as crate::provider::Member>::KIND,
                        required: <$kind as crate::provider::Member>::REQUIRED,
                    },
                )*],
                reread: crate::provider::loose::reread::<$response>,
                reread_request: crate::provider::loose::reread::<$name>,
            };
        }
    };
}
pub(super) use operation;
