//! The visitor's address: found, used, and gone.
//!
//! An address is personal data (CJEU C-582/14, Breyer). Here it is a [`ClientIp`], which cannot be printed or
//! serialised; it lives in a [`Visit`](crate::Visit) until the response head is sealed, and is then
//! overwritten. What leaves this room is a [`Country`] and a [`Pseudonym`], in this order: a truncated
//! address is often in another country.

mod client;
mod country;
#[cfg(feature = "embedded-countries")]
mod embedded;
mod forward;
mod headers;
#[cfg(feature = "maxminddb")]
mod maxmind;
mod proxies;
mod pseudonym;

pub use client::ClientIp;
pub use country::{Country, CountryCode, CountryLookup, is_public};
#[cfg(feature = "embedded-countries")]
pub use embedded::EmbeddedCountries;
pub use forward::{Forwarder, Outbound};
#[cfg(feature = "maxminddb")]
pub use maxmind::MaxmindCountries;
pub use proxies::{ProxyHeader, TrustedProxies};
pub use pseudonym::{Pseudonym, PseudonymScope, Pseudonymizer, Strategy};

pub(crate) use country::country_of;
pub(crate) use headers::carries_address;
pub(crate) use pseudonym::{EpochKeys, PeerHider};
