//! What a visitor decided, on what, and the proof of it.
//!
//! A device keeps its decisions in one cookie ([format](cookie)); a grant or withdrawal is also a
//! [`ConsentRecord`] in the store, tied to the [`NoticeSnapshot`] that was shown. A plain refusal leaves no
//! record: it would need an identifier before there is consent. It is [counted](ConsentCount), as are showings.

pub mod cookie;
mod count;
mod notice;
mod receipt;
mod record;
mod regime;
mod state;
mod token;
mod words;

pub use count::{ConsentCount, CountKind};
pub use notice::{
    Notice, NoticeCategory, NoticeEntry, NoticeId, NoticeRecipient, NoticeService, NoticeSnapshot,
};
pub use receipt::{ConsentStatus, Receipt, Standpoint};
pub use record::{Act, ConsentRecord, Method, RecordId, RecordedDecision};
pub use regime::{Regime, RegimeRules, Regimes};
pub use state::{ConsentState, Decision};
pub use token::NoticeToken;
pub use words::NoticeWords;

pub use crate::privet::{Answer, ChainReport, Damage, Decided, Provenance, SiteNotice, Withdrawn};
pub use crate::privet::{DeliveryProblem, DeliveryReport, DeliveryRequest, RecipientChannel};

pub(crate) use receipt::standpoints;
pub(crate) use state::{Choice, Kept, SeenDecisions, Standing};
pub(crate) use token::TokenKey;
pub(crate) use words::{WordsDecl, resolve as resolve_words};
