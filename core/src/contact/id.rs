use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::key::random_bytes;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Draws a new one from the operating system: a random UUID (version 4), nothing of time, machine
            /// or visitor in it.
            ///
            /// # Errors
            /// [`Error::Key`] when the operating system gives no randomness.
            pub fn generate() -> Result<Self> {
                Ok(Self(uuid::Builder::from_random_bytes(random_bytes()?).into_uuid()))
            }

            /// The bytes, as a store keeps them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// An id that a store kept.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        /// Reads a UUID; anything else is a thing that does not exist.
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Uuid::parse_str(text).map(Self).map_err(|_| Error::NotFound { what: $what })
            }
        }
    };
}

uuid_id! {
    /// The persistent id of a contact.
    ContactId, "contact"
}

uuid_id! {
    /// The id of a conversation.
    ConversationId, "conversation"
}

uuid_id! {
    /// The id of a message. The sender may draw it: a message that arrives twice is stored once.
    MessageId, "message"
}

uuid_id! {
    /// The id of an operator's note on a contact.
    NoteId, "note"
}

/// The random id of a visit in which the visitor started a service. It is for that service only: there is no
/// way from it to a [`ContactId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    pub(crate) fn generate() -> Result<Self> {
        random_bytes().map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// The generation of a contact. Nothing is written for a contact whose epoch is at or below the fence that its
/// erasure left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FenceEpoch(u32);

impl FenceEpoch {
    /// The epoch of a new contact.
    pub const FIRST: Self = Self(1);

    /// An epoch that a store or a cookie kept.
    #[must_use]
    pub const fn new(epoch: u32) -> Self {
        Self(epoch)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_parse_back() {
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| ContactId::generate().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.as_uuid().get_version_num(), 4);
            assert_eq!(id.to_string().parse::<ContactId>().unwrap(), id);
        }
        assert!(matches!("x".parse::<ContactId>(), Err(Error::NotFound { .. })));
    }
}
