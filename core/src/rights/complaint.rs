use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::legal::{Figure, LegalFigures};

/// A complaint about how personal data is handled, and where it stands: received, acknowledged, answered. In the United
/// Kingdom it has to be acknowledged within 30 days, and answered without undue delay with an outcome (Data Protection Act
/// 2018 s. 164A, in force 19 June 2026).
///
/// ```
/// use privet::{Timestamp, legal::LegalFigures, rights::Complaint};
///
/// let received = Timestamp::from_millis(1_800_000_000_000);
/// let mut complaint = Complaint::received(received, &LegalFigures::default());
/// assert!(!complaint.is_overdue(received));
/// complaint.acknowledge(received)?;
/// complaint.answer(received, "We have corrected it. You can turn to the ICO, ico.org.uk/make-a-complaint.")?;
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    received: Timestamp,
    acknowledge_by: Timestamp,
    acknowledged: Option<Timestamp>,
    answered: Option<(Timestamp, String)>,
}

/// The authority that an answer has to name, so that whoever complained knows where else to turn.
const AUTHORITY: &str = "ICO";

impl Complaint {
    /// A complaint that has come.
    #[must_use]
    pub fn received(at: Timestamp, figures: &LegalFigures) -> Self {
        let acknowledge_by = at + figures.get(Figure::ComplaintAcknowledgement);
        Self { received: at, acknowledge_by, acknowledged: None, answered: None }
    }

    /// When it came.
    #[must_use]
    pub fn came(&self) -> Timestamp {
        self.received
    }

    /// Until when it has to be acknowledged.
    #[must_use]
    pub fn acknowledge_by(&self) -> Timestamp {
        self.acknowledge_by
    }

    /// Whether nobody has acknowledged it in time.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.acknowledged.unwrap_or(now) > self.acknowledge_by
    }

    /// Whoever complained was told that it came.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an instant before it came.
    pub fn acknowledge(&mut self, at: Timestamp) -> Result<()> {
        if at < self.received {
            return Err(Error::invalid(
                "a complaint is acknowledged before it came",
                "give the instant of the acknowledgement",
            ));
        }
        self.acknowledged.get_or_insert(at);
        Ok(())
    }

    /// Whoever complained was told the outcome, and where else to turn.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an answer without text, one that does not name the authority, or one to a complaint that
    /// nobody acknowledged.
    pub fn answer(&mut self, at: Timestamp, outcome: impl Into<String>) -> Result<()> {
        let outcome = outcome.into();
        if outcome.trim().is_empty() {
            return Err(Error::invalid(
                "a complaint is answered without an outcome",
                "say what was found and done",
            ));
        }
        if !outcome.contains(AUTHORITY) && !outcome.contains("Information Commission") {
            return Err(Error::invalid(
                "the answer to a complaint names no authority",
                "tell where else to turn: the ICO, ico.org.uk/make-a-complaint",
            ));
        }
        if self.acknowledged.is_none_or(|acknowledged| at < acknowledged) {
            return Err(Error::invalid(
                "a complaint is answered that nobody acknowledged",
                "acknowledge it first",
            ));
        }
        self.answered = Some((at, outcome));
        Ok(())
    }

    /// The outcome, and when it was told.
    #[must_use]
    pub fn outcome(&self) -> Option<(Timestamp, &str)> {
        self.answered.as_ref().map(|(at, text)| (*at, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// JUR-10: acknowledged within 30 days, answered with an outcome that names the authority, and not before it was
    /// acknowledged.
    #[test]
    fn jur_10_a_complaint_has_its_time_and_its_outcome() {
        const DAY: Duration = Duration::from_secs(86_400);
        let came = Timestamp::from_millis(1_800_000_000_000);
        let mut complaint = Complaint::received(came, &LegalFigures::default());
        assert_eq!((complaint.came(), complaint.acknowledge_by()), (came, came + 30 * DAY));
        assert!(!complaint.is_overdue(came + 30 * DAY) && complaint.is_overdue(came + 31 * DAY));
        let answer = "It was corrected. You can also turn to the ICO.";
        assert!(complaint.answer(came + DAY, answer).is_err(), "not acknowledged");
        assert!(complaint.acknowledge(came - DAY).is_err());
        complaint.acknowledge(came + 2 * DAY).unwrap();
        assert!(!complaint.is_overdue(came + 400 * DAY));
        for bad in ["", "  ", "It was corrected."] {
            assert!(complaint.answer(came + 3 * DAY, bad).is_err(), "{bad:?}");
        }
        assert!(complaint.answer(came + DAY, answer).is_err(), "before it was acknowledged");
        assert_eq!(complaint.outcome(), None);
        complaint.answer(came + 3 * DAY, answer).unwrap();
        assert_eq!(complaint.outcome(), Some((came + 3 * DAY, answer)));
        let week = LegalFigures::default().with(Figure::ComplaintAcknowledgement, 7 * DAY).unwrap();
        assert_eq!(Complaint::received(came, &week).acknowledge_by(), came + 7 * DAY);
    }
}
