//! privet over HTTP, once for all frameworks.
//!
//! A framework's adapter translates its request into a [`Request`] and a [`Reply`] into its response; everything in
//! between is here: the [`Banner`], the settings page, the routes that take a decision, the cookie statement,
//! the script and the stylesheet. No type of any framework and no version of `http` crosses this edge.
//!
//! # Routes
//!
//! Below the base path, `/privacy` if nothing else is set:
//!
//! | route | what |
//! |---|---|
//! | `GET /privacy` | settings: what was decided, the same choices, withdrawal |
//! | `GET /privacy/banner` | the banner as a fragment; empty when everything is decided |
//! | `GET /privacy/consent` | the decisions as JSON; with `open`, the categories that may happen, where a regime allows some without a decision |
//! | `POST /privacy/consent` | a decision, by form or JSON |
//! | `POST /privacy/withdraw` | withdrawal of all or of some categories |
//! | `POST /privacy/activate` | the visitor's own gesture starts a service |
//! | `GET /privacy/cookies` | cookie statement: HTML, or Markdown and JSON by `Accept` or as `.md`, `.json` |
//! | `GET /privacy/cookies/versions` | the statement's versions, with dates and differences: HTML, or JSON by `Accept` or as `.json` |
//! | `GET /privacy/me` | what is held about the visitor, as JSON, or CSV by `Accept` or `?format=csv` |
//! | `GET /.well-known/gpc.json` | the promise to honour Global Privacy Control, where the operator makes it |
//! | `GET /privacy/receipt` | the visitor's receipt, while something is granted: JSON-LD in terms of the DPV |
//! | `GET /privacy/privet.js`, `privet.css` | script and stylesheet, immutable under their hash |
//!
//! # The operators' portal
//!
//! Below `{base}/portal`, only with a [`Guard`], and the same answer to a stranger on every path. Each is a page, or JSON by
//! `Accept: application/json`, in English, German, French, Dutch, Spanish and Italian by `?lang=` or `Accept-Language`:
//!
//! | route | what |
//! |---|---|
//! | `GET /` | the sites of the operator's tenant |
//! | `GET /{site}/contacts` | contacts by most recent activity; `country`, `created_from`, `created_to`, `seen_from`, `seen_to`, `open=1`, `q`, `known_as`, `limit`, `cursor` |
//! | `GET /{site}/contacts/{id}` | one contact: its consent, conversations, notes |
//! | `GET /{site}/contacts/{id}/export` | everything about it, to take along |
//! | `POST /{site}/contacts/{id}/notes`, `…/notes/{note}/erase`, `…/block`, `…/unblock` | notes and blocking |
//! | `GET`, `POST /{site}/contacts/{id}/erase` | what would go; takes it away |
//! | `GET`, `POST /{site}/stale` | contacts that were not seen since the day `before`: how many; takes up to 500 away |
//! | `GET /{site}/conversations`, `…/{id}` | open conversations; one with its messages |
//! | `POST /{site}/conversations/{id}/answer`, `…/close` | support |
//! | `GET`, `POST /{site}/conversations/{id}/erase`, `…/messages/{number}/erase` | what would go; takes it away |
//! | `GET /{site}/overview` | figures from a day to a day |
//! | `GET /{site}/log` | what operators saw and did |
//! | `GET /openapi.json` | all of this for programs |
//!
//! Everything works without script. Routes that change something take same-origin requests only
//! ([`SameOrigin`]). Nothing here tells a visitor more than what went wrong on their side.
//!
//! # Exports
//!
//! `GET /privacy/portal/{site}/export?what=contacts|conversations&format=csv|jsonl` gives one moment of a site to those who
//! may export. Its last line, `{"manifest":{…}}` or in CSV a record that begins with `#manifest`, has the counts and the
//! SHA-256 of every byte before it: `sed '$d' contacts.csv | sha256sum`. Without that line it was cut.
//!
//! JSON Lines has an object per contact or conversation; a conversation of more than 500 messages is several lines with the
//! same `id`, one behind the other. CSV has a row per contact, or per message; a cell that begins with `=`, `+`, `-`, `@`,
//! a tab or a line end has a `'` before it, so that no spreadsheet computes it. JSON is as it was written.

pub mod adapter;
mod assets;
mod banner;
mod changes;
mod extract;
mod formula;
mod language;
mod negotiate;
mod origin;
mod page;
mod portal;
mod rejection;
mod reply;
mod request;
mod routes;
mod state;
pub mod testing;
#[cfg(feature = "webhooks")]
mod webhooks;
mod words;

pub use banner::Banner;
pub use extract::{Extract, Incoming};
pub use origin::SameOrigin;
pub use portal::{Guard, PORTAL_BODY_LIMIT, portal_paths, respond_portal};
pub use rejection::Rejection;
pub use reply::{Body, BodyStream, Reply};
pub use request::{BODY_LIMIT, Request};
pub use routes::{paths, respond};
#[cfg(feature = "webhooks")]
pub use webhooks::HttpsChannel;

#[doc(hidden)]
pub use privet;
