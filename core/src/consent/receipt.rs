//! The visitor's copy of what is recorded of them: states named as in the Data Privacy Vocabulary (DPV 2.3).

use serde::Serialize;

use super::notice::NoticeSnapshot;
use super::record::{Act, ConsentRecord};
use super::state::Decision;
use crate::catalogue::CategoryCode;
use crate::clock::Timestamp;

/// The state of a consent, by its name in the DPV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum ConsentStatus {
    /// It was given, and holds.
    ConsentGiven,
    /// It was given again while it held, and holds.
    RenewedConsentGiven,
    /// It was refused, and never given.
    ConsentRefused,
    /// The visitor took it back.
    ConsentWithdrawn,
    /// Somebody else ended it.
    ConsentRevoked,
    /// Its time is over.
    ConsentExpired,
    /// What it was given for has changed since.
    ConsentInvalidated,
}

impl ConsentStatus {
    /// Its name in the DPV.
    #[must_use]
    pub const fn term(self) -> &'static str {
        match self {
            Self::ConsentGiven => "ConsentGiven",
            Self::RenewedConsentGiven => "RenewedConsentGiven",
            Self::ConsentRefused => "ConsentRefused",
            Self::ConsentWithdrawn => "ConsentWithdrawn",
            Self::ConsentRevoked => "ConsentRevoked",
            Self::ConsentExpired => "ConsentExpired",
            Self::ConsentInvalidated => "ConsentInvalidated",
        }
    }
}

/// Where one category stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standpoint {
    /// The category.
    pub category: CategoryCode,
    /// Its state.
    pub status: ConsentStatus,
    /// When it came to that by somebody's act.
    pub since: Timestamp,
}

/// What is recorded of a visitor: the latest record of their line, what was shown for it, and where each category stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Receipt {
    /// The latest record.
    pub record: ConsentRecord,
    /// What was shown; none when it was not the visitor who acted.
    pub notice: Option<NoticeSnapshot>,
    /// Where each category that was ever decided stands.
    pub standpoints: Vec<Standpoint>,
    /// When the receipt was made.
    pub made: Timestamp,
}

/// Where each category of a line stands.
pub(crate) fn standpoints(
    line: &[ConsentRecord],
    stands: impl Fn(CategoryCode, [u8; 3]) -> bool,
    now: Timestamp,
) -> Vec<Standpoint> {
    use ConsentStatus as Status;
    let given = |s| matches!(s, Status::ConsentGiven | Status::RenewedConsentGiven);
    let mut all: Vec<Standpoint> = Vec::new();
    for record in line {
        for d in &record.decisions {
            let before = all.iter().position(|s| s.category == d.category);
            let status = match (d.decision, before.map(|at| all[at].status)) {
                (Decision::Unknown, _) => continue,
                (Decision::Granted, None) => Status::ConsentGiven,
                (Decision::Granted, Some(before)) if !given(before) => Status::ConsentGiven,
                // Only a grant says yes again; a withdrawal of something else leaves it as it was.
                (Decision::Granted, Some(_)) if record.act == Act::Grant => Status::RenewedConsentGiven,
                (Decision::Refused, None) => Status::ConsentRefused,
                (Decision::Refused, Some(before)) if given(before) => match record.act {
                    Act::Revocation => Status::ConsentRevoked,
                    Act::Grant | Act::Withdrawal | Act::Objection | Act::Refusal => Status::ConsentWithdrawn,
                },
                (_, Some(before)) => before,
            };
            match before {
                Some(at) if all[at].status == status && status != Status::RenewedConsentGiven => {}
                Some(at) => all[at] = Standpoint { category: d.category, status, since: record.at },
                None => all.push(Standpoint { category: d.category, status, since: record.at }),
            }
        }
    }
    let Some(latest) = line.last() else { return all };
    for s in &mut all {
        let given = given(s.status);
        let kept = latest.decisions.iter().find(|d| d.category == s.category).map(|d| d.fingerprint);
        if given && now >= latest.until {
            *s = Standpoint { status: Status::ConsentExpired, since: latest.until, ..*s };
        } else if given && !kept.is_some_and(|kept| stands(s.category, kept)) {
            *s = Standpoint { status: Status::ConsentInvalidated, ..*s };
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalogue::{Catalogue, Category};
    use crate::consent::{Method, NoticeId, RecordId, RecordedDecision, Regime};
    use crate::scope::Scope;
    use crate::store::SubjectDigest;

    const LIFE: Duration = Duration::from_secs(180 * 86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    fn catalogue(purpose: &str) -> Catalogue {
        Catalogue::from_toml(&format!(
            "[controller]\nname = \"Shop\"\ncontact = \"c\"\n\
             [[category]]\nid = \"analytics\"\npurpose = \"Counts.\"\n[[category]]\nid = \"marketing\"\npurpose = \"Offers.\"\n{purpose}"
        ))
        .unwrap()
    }

    fn record(catalogue: &Catalogue, act: Act, seconds: i64, granted: &[&str]) -> ConsentRecord {
        let decide = |c: &Category| {
            let yes = granted.contains(&c.id.as_str());
            RecordedDecision::new(
                c.code,
                if yes { Decision::Granted } else { Decision::Refused },
                c.fingerprint(),
            )
        };
        ConsentRecord {
            id: RecordId::from_bytes([1; 16]),
            scope: Scope::default(),
            subject: SubjectDigest::from_bytes([1; 16]),
            act,
            at: at(seconds),
            until: at(seconds) + LIFE,
            notice: NoticeId::NONE,
            language: catalogue.languages()[0].clone(),
            regime: Regime::default(),
            method: Method::Form,
            gesture: true,
            gpc: false,
            decisions: catalogue.categories().iter().map(decide).collect(),
        }
    }

    fn stands(today: &Catalogue) -> impl Fn(CategoryCode, [u8; 3]) -> bool {
        |code, kept| today.categories().iter().any(|c| c.code == code && c.fingerprint() == kept)
    }

    /// REC-01: each state by its name, since the act that led to it.
    #[test]
    fn rec_01_states_follow_from_the_history() {
        use ConsentStatus as S;
        let today = catalogue("");
        let both = &["analytics", "marketing"][..];
        let (grant, withdrawal) = (Act::Grant, Act::Withdrawal);
        type Acts<'a> = &'a [(Act, &'a [&'a str])];
        type Case<'a> = (Acts<'a>, (S, i64), (S, i64));
        let cases: [Case<'_>; 9] = [
            (&[(grant, both)], (S::ConsentGiven, 0), (S::ConsentGiven, 0)),
            (&[(grant, &["analytics"])], (S::ConsentGiven, 0), (S::ConsentRefused, 0)),
            (&[(grant, both), (grant, both)], (S::RenewedConsentGiven, 1), (S::RenewedConsentGiven, 1)),
            (&[(grant, both), (withdrawal, &["analytics"])], (S::ConsentGiven, 0), (S::ConsentWithdrawn, 1)),
            (
                &[(grant, both), (grant, &["analytics"])],
                (S::RenewedConsentGiven, 1),
                (S::ConsentWithdrawn, 1),
            ),
            (&[(grant, &["analytics"]), (withdrawal, &[])], (S::ConsentWithdrawn, 1), (S::ConsentRefused, 0)),
            (
                &[(grant, both), (Act::Revocation, &["analytics"])],
                (S::ConsentGiven, 0),
                (S::ConsentRevoked, 1),
            ),
            (&[(grant, both), (withdrawal, &[]), (grant, both)], (S::ConsentGiven, 2), (S::ConsentGiven, 2)),
            (
                &[(grant, both), (withdrawal, &[]), (withdrawal, &[])],
                (S::ConsentWithdrawn, 1),
                (S::ConsentWithdrawn, 1),
            ),
        ];
        for (acts, analytics, marketing) in cases {
            let line: Vec<_> =
                (0..).zip(acts).map(|(n, (act, granted))| record(&today, *act, n, granted)).collect();
            let found: Vec<_> =
                standpoints(&line, stands(&today), at(9)).iter().map(|s| (s.status, s.since)).collect();
            assert_eq!(found, [analytics, marketing].map(|(s, n)| (s, at(n))), "{acts:?}");
        }
        assert_eq!(standpoints(&[], stands(&today), at(9)), []);
    }

    /// CON-07: what lapsed, or was given for something else than today, does not count as given.
    #[test]
    fn con_07_what_lapsed_or_changed_is_not_given() {
        let then = catalogue("");
        let line = [record(&then, Act::Grant, 0, &["analytics"])];
        let status = |catalogue: &Catalogue, now| standpoints(&line, stands(catalogue), now)[0].status;
        assert_eq!(status(&then, at(0) + LIFE), ConsentStatus::ConsentExpired);
        let more = catalogue(
            "[[service]]\nid = \"s\"\nprovider = \"P\"\nlegal_basis = \"consent\"\npurpose = \"x\"\ngate = { consent = \"analytics\" }\n",
        );
        assert_eq!(status(&more, at(9)), ConsentStatus::ConsentInvalidated);
        assert_eq!(status(&then, at(9)), ConsentStatus::ConsentGiven);
    }
}
