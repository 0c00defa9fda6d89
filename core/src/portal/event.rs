use std::fmt;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::random_id::random_id;
use crate::scope::{Site, Tenant};
use crate::store::SubjectDigest;

random_id! {
    /// The random name of an event.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    AuditId
}

impl fmt::Debug for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditId({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What an operator asked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Verb {
            $($(#[$doc])* $name,)*
        }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable number that stores keep.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }

            /// The verb that a store kept.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

verbs! {
    /// To see the list of contacts.
    ListContacts = 1, "list-contacts";
    /// To see a contact.
    SeeContact = 2, "see-contact";
    /// To read a conversation.
    ReadConversation = 3, "read-conversation";
    /// To see which conversations are open.
    ListConversations = 4, "list-conversations";
    /// To answer.
    Answer = 5, "answer";
    /// To close a conversation.
    CloseConversation = 6, "close-conversation";
    /// To write a note.
    AddNote = 7, "add-note";
    /// To take a note away.
    EraseNote = 8, "erase-note";
    /// To block a contact.
    Block = 9, "block";
    /// To unblock a contact.
    Unblock = 10, "unblock";
    /// To see what an erasure would take away.
    PreviewErasure = 11, "preview-erasure";
    /// To erase a contact.
    EraseContact = 12, "erase-contact";
    /// To erase a conversation.
    EraseConversation = 13, "erase-conversation";
    /// To erase a message.
    EraseMessage = 14, "erase-message";
    /// To erase contacts that were not seen for long.
    EraseStale = 15, "erase-stale";
    /// To export one contact.
    ExportContact = 16, "export-contact";
    /// To export all contacts.
    ExportContacts = 17, "export-contacts";
    /// To export all conversations.
    ExportConversations = 18, "export-conversations";
    /// To see figures.
    SeeFigures = 19, "see-figures";
    /// To read what operators did.
    ReadAudit = 20, "read-audit";
}

/// Whether an operator could do what they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// They may, and it was begun.
    Allowed,
    /// Their role does not allow it.
    Refused,
}

impl Outcome {
    /// The stable number that stores keep.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Allowed => 1,
            Self::Refused => 2,
        }
    }

    /// The outcome that a store kept.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Allowed),
            2 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// That an operator saw or did something. It is written down before the act, so that nothing is done that is not; it
/// names no visitor, only a keyed digest, which is another one when the contact is gone (GDPR Art. 32(4), 5(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its name.
    pub id: AuditId,
    /// Whose contacts it is about.
    pub tenant: Tenant,
    /// Which site's; none where it is about all of them.
    pub site: Option<Site>,
    /// When.
    pub at: Timestamp,
    /// Who, by the name of the operator.
    pub operator: String,
    /// What.
    pub verb: Verb,
    /// About which contact or conversation, by a keyed digest.
    pub subject: Option<SubjectDigest>,
    /// Whether they could.
    pub outcome: Outcome,
}

impl AuditEvent {
    /// An event as a store keeps it.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "one argument per column")]
    pub fn new(
        id: AuditId,
        tenant: Tenant,
        site: Option<Site>,
        at: Timestamp,
        operator: String,
        verb: Verb,
        subject: Option<SubjectDigest>,
        outcome: Outcome,
    ) -> Self {
        Self { id, tenant, site, at, operator, verb, subject, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_have_codes_of_their_own() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_code(verb.code()), Some(*verb));
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.as_str());
        }
        let codes: std::collections::BTreeSet<_> = Verb::ALL.iter().map(|v| v.code()).collect();
        assert_eq!(codes.len(), Verb::ALL.len());
    }
}
