//! The hedge of a web app's privacy, independent of framework and database.
//!
//! A developer declares in one [`Catalogue`] what is stored on a visitor's terminal, why, for how long and who
//! gets it. From then on no cookie leaves the app that the catalogue does not declare and the visitor has not
//! allowed; no raw address is stored, logged or forwarded; a contact exists only on a consent that can be
//! proved; and what is stored ends on time.
//!
//! This crate is the domain. `privet-axum` and `privet-actix-web` plug it into their frameworks, `privet-sqlite` keeps
//! what it keeps, `privet-web` has the pages.
//!
//! # A tour
//!
//! - [`catalogue`]: what may be stored, and who gets what. Gate, banner and statement are read from it.
//! - [`Privet`]: the handle, made by a [`Builder`] that checks everything.
//! - [`Visit`]: one request. It says what the visitor allows ([`Consent`], [`Granted`]), who the visitor is
//!   ([`Visitor`]), and seals the response.
//! - [`consent`]: decisions, the device's cookie, notices and records.
//! - [`contact`]: contacts, conversations, messages.
//! - [`ip`]: the visitor's address: found, used, and gone.
//! - [`retention`]: how long things are kept; [`legal`]: figures with a legal origin.
//! - [`rights`]: what people can ask for about their own data.
//! - [`audit`]: what was seen, held against the catalogue; and what the site says of itself, for an inspector.
//! - [`store`]: what a store must do; with [`conformance`] (feature `conformance`) to show that one does.
//!
//! # What it does not do
//!
//! It gives no legal advice, chooses no legal basis, and makes nobody compliant by being installed. What is
//! strictly necessary is the operator's word; privet makes that word explicit, dated and checkable.
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `embedded-countries` | [`ip::EmbeddedCountries`](https://docs.rs/iptocc): country of an address from data in the binary |
//! | `maxminddb` | country of an address from a country file |
//! | `conformance` | the public test suite for stores |

pub mod audit;
pub mod catalogue;
pub mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod consent;
pub mod contact;
pub mod error;
pub mod ip;
pub mod key;
pub mod legal;
pub mod portal;
mod privet;
mod random_id;
pub mod retention;
pub mod rights;
pub mod scope;
pub mod store;
pub mod visit;

pub use catalogue::Catalogue;
pub use clock::{Clock, Day, FakeClock, SystemClock, Timestamp};
pub use contact::Visitor;
pub use error::{Error, Result};
pub use ip::Country;
pub use key::KeyRing;
pub use privet::{Builder, Privet, SiteDecl, SiteRequest};
pub use scope::{Scope, Site, Tenant};
pub use store::Storage;
pub use visit::{
    Analytics, Consent, ConsentCategory, Contacts, Enforcement, Functional, Granted, Identity, Marketing,
    Visit,
};
