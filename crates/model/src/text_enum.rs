//! One macro for enums that have exactly one spelling on the wire and in the database.

use serde::de::Visitor;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Defines an enum whose variants have one spelling each, with `ALL`, `as_str`, `Display`, `FromStr` and serde by that spelling.
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident, error $error:ident($what:literal) {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant ),+
        }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The spelling on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text ),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $text => Ok(Self::$variant), )+
                    unknown => Err($error(unknown.chars().take(40).collect())),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::text_enum::Spelling(std::marker::PhantomData))
            }
        }

        $crate::text_enum::text_enum_error! { $error, $what, [$( $text ),+] }
    };
}

/// The error of a [`text_enum!`]: what was read, and what would have been right.
macro_rules! text_enum_error {
    ($error:ident, $what:literal, [$first:literal $(, $text:literal)*]) => {
        /// What was read is none of the known spellings (at most 40 characters of it are kept).
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("{0:?} is not a {what}; known: {known}", what = $what, known = concat!($first $(, ", ", $text)*))]
        pub struct $error(pub String);
    };
}

/// Reads a value by its spelling, without keeping the text.
pub(crate) struct Spelling<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Spelling<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

pub(crate) use text_enum;
pub(crate) use text_enum_error;
