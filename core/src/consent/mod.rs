//! What a visitor decided, on what, and the proof of it.
//!
//! A device keeps its decisions in one cookie ([format](cookie)); a grant or withdrawal is also a
//! [`ConsentRecord`] in the store, tied to the [`NoticeSnapshot`] that was shown. A plain refusal leaves no
//! record: it would need an identifier before there is consent. It is [counted](ConsentCount), as are showings.
//!
//! A record that takes something away brings with it what recipients have to know (GDPR Art. 19): those that the catalogue
//! gives a `withdrawal_endpoint` are told over a [`RecipientChannel`] until they have it, and it can be seen
//! ([`Privet::notifications`](crate::Privet::notifications)) which were. Work that was queued on a consent asks
//! [`Privet::if_granted`](crate::Privet::if_granted) when it runs.
//!
//! Which rules a visitor is under is a [`Regime`], data with a date and a source, chosen by the country they are likely in
//! ([`Regimes`]). What a person decides who is signed in holds for their account
//! ([`Privet::sign_in`](crate::Privet::sign_in)). Global Privacy Control ends what is sold or shared, whoever agreed
//! before; only a grant that names it, made while the signal is sent, stands above it.
//!
//! A withdrawal is one act. What was held on the consent is erased with it, unless the catalogue told before on what other
//! basis it is kept; recipients are told ([`RecipientChannel`]); work that was queued asks when it runs
//! ([`Privet::if_granted`](crate::Privet::if_granted)).

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

pub use crate::privet::{
    Answer, ChainReport, Damage, Decided, Provenance, SiteNotice, Withdrawn, verify_chain,
};
pub use crate::privet::{DeliveryProblem, DeliveryReport, DeliveryRequest, RecipientChannel};

pub(crate) use receipt::standpoints;
pub(crate) use state::{Choice, Kept, SeenDecisions, Standing};
pub(crate) use token::TokenKey;
pub(crate) use words::{WordsDecl, resolve as resolve_words};
