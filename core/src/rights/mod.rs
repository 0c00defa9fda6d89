//! What people can ask for about their own data.
//!
//! [`Complaint`] is the clock of a complaint; that complaints come in by the site's own pages, and are kept, is the app's
//! for now.
//!
//! A visitor who is known by what their browser holds, a contact's cookie or a chat's, proves by it whose data is theirs:
//! nothing more is asked for (GDPR Art. 11(2), 12(6); EDPB Guidelines 01/2022, paras 67 to 70).

mod complaint;
mod own;

pub use complaint::Complaint;
pub use own::{OwnContact, OwnConversation, OwnData, OwnDecision, OwnNote, OwnRecord};
