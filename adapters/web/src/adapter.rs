//! Writing an adapter for another framework.
//!
//! An adapter translates; it decides nothing. What a request may do is decided by [`Privet::visit`], what a response may
//! carry by [`Visit::seal`], what privet's routes answer by [`respond`](crate::respond), what a handler may take by
//! [`Extract`](crate::Extract). So an adapter is small, and two of them cannot disagree.
//!
//! # What it has to do
//!
//! 1. **Read the request**: a [`RequestHead`] over the framework's own, without copying it. Header names are in lower
//!    case. The peer is what the connection tells, never what a header tells: proxies are privet's business.
//! 2. **Rewrite it** as [`Rewrite`] says, before anything else sees it: proxy headers go, the `Cookie` header is
//!    replaced or goes, the peer is replaced. Whatever the framework has parsed of them before has to be made anew, or
//!    the request has to be refused: a cookie that the gate closed must not be found in a cache.
//! 3. **Read and write the response**: a [`ResponseHead`] over the framework's own. Ask where cookies live until the head
//!    is written: some frameworks keep a jar, fill it from the request before you come and write it after you have gone.
//!    Then the jar has to be rewritten and judged too.
//! 4. **Stand outermost.** Where a framework answers errors outside of all its middleware, stand around its service as a
//!    whole, below it: the adapter on this page does that for whatever is built on hyper. Every response passes [`Visit::seal`]: errors too, and what the framework makes of an error
//!    later. [`Sealing::Denied`] replaces the response. A [`Refusal`] answers without asking the app. Whoever drops the
//!    future drops the visit: [`CloseOnDrop`].
//! 5. **Mount the routes** of [`paths`](crate::paths), any method, inside itself, with a body of at most
//!    [`BODY_LIMIT`](crate::BODY_LIMIT) bytes and none beyond.
//! 6. **Give handlers what they take**: [`extractors!`](crate::extractors) writes the types that the framework's traits
//!    need, named as in every adapter. Without privet around it, an extractor answers 500 and names the cure
//!    ([`Rejection::missing`](crate::Rejection::missing)). For `Option<Granted<C>>` only
//!    [`is_not_granted`](crate::Rejection::is_not_granted) is `None`; a framework that makes a `None` of every failure is
//!    overruled: [`Visit::insisted`] then has the cure, which is the answer.
//!
//! It copies no header map, holds no lock across an await, and writes no address, cookie value or token into a log, an
//! error or a `Debug`.
//!
//! # An adapter
//!
//! This one is for any `tower::Service` of `http` requests, and so for hyper itself, tonic and what else is built on
//! them. It has no extractors to implement: handlers there call `take`. The workspace's tests run every scenario of
//! privet's routes through it and through axum, and compare the bytes.
//!
//! ```
#![doc = include_str!("../guide/tower.rs")]
//! ```
//!
//! # What shows that it is right
//!
//! Run your framework's stack with real middleware (sessions, sign-in, compression, a panic catcher), in every order
//! that it allows, and look at what leaves: [`testing::Walk`](crate::testing::Walk) needs an
//! [`InProcess`](crate::testing::InProcess) of yours and names every cookie that is against the catalogue. Then ask what
//! your framework does on its own: where does it keep the peer, what does it parse early, which errors become responses
//! outside of you, does it answer a panic?
//!
//! [`Privet::visit`]: privet::Privet::visit
//! [`Visit::seal`]: privet::Visit::seal
//! [`Visit::insisted`]: privet::Visit::insisted
//! [`RequestHead`]: privet::visit::RequestHead
//! [`ResponseHead`]: privet::visit::ResponseHead
//! [`Rewrite`]: privet::visit::Rewrite
//! [`Refusal`]: privet::visit::Refusal
//! [`Sealing::Denied`]: privet::visit::Sealing::Denied
//! [`CloseOnDrop`]: privet::visit::CloseOnDrop
