//! Who writes in the chat: contacts, conversations and messages.
//!
//! A [`Contact`] is a browser that its visitor allowed to be recognised; it exists only on a consent that can
//! be proved. Without that consent the chat works all the same, on a conversation that belongs to the visit
//! and ends with it.

mod adopt;
mod id;
mod identity;
mod model;
mod operator;
mod page_url;
mod query;
mod seal;
mod touches;
mod visitor;

pub use id::{ContactId, ConversationId, FenceEpoch, MessageId, NoteId, SessionId};
pub use model::{
    Author, Channel, Contact, ContactSummary, Conversation, Message, NewMessage, Owner, Posted, Removed,
};
pub use page_url::{PageUrl, PageUrlPolicy};
pub use query::{CappedCount, ContactFilter, ContactPage, IdPrefix, PageRequest, TimeSpan};
pub use seal::Sealed;
pub use visitor::Visitor;

pub(crate) use seal::{Field, SubjectKey};
pub(crate) use touches::Touches;
pub(crate) use visitor::open_message;
