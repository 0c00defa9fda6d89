//! How long things are kept, and their end on time.
//!
//! Each class of data has a rule with a finite period; a tenant can set its own. What has passed its period is
//! not read any more from that instant on; [`Privet::sweep`](crate::Privet::sweep) takes it away afterwards, in
//! small steps.

mod rule;
mod sweep;

pub use rule::{DataClass, RetentionRule};
pub use sweep::SweepReport;

pub(crate) use rule::{Rules, horizon};
