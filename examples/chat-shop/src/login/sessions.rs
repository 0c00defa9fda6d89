//! Who is signed in.

use std::collections::HashMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use privet::portal::Operator;
use privet::{Error, Timestamp};
use sha2::{Digest as _, Sha256};

/// A session ends after so long without work,
const IDLE: Duration = Duration::from_secs(30 * 60);
/// and after so long at any rate.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);
/// So many sessions an operator has at most; the oldest ends.
const PER_OPERATOR: usize = 10;

struct Session {
    operator: Operator,
    opened: Timestamp,
    seen: Timestamp,
}

impl Session {
    fn lasts(&self, now: Timestamp) -> bool {
        now.since(self.seen) < IDLE && now.since(self.opened) < LONGEST
    }
}

/// Sessions by the hash of their ids: what is in memory opens nothing.
#[derive(Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

fn key(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

impl Sessions {
    /// Opens one, and gives its id: 128 random bits.
    pub(super) fn open(&mut self, operator: Operator, now: Timestamp) -> privet::Result<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| Error::unavailable("randomness", e.to_string()))?;
        let id = HEXLOWER.encode(&bytes);
        self.0.retain(|_, session| session.lasts(now));
        let theirs = |s: &Session| s.operator.name() == operator.name();
        if self.0.values().filter(|s| theirs(s)).count() >= PER_OPERATOR
            && let Some(oldest) =
                self.0.iter().filter(|(_, s)| theirs(s)).min_by_key(|(_, s)| s.opened).map(|(k, _)| *k)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(key(&id), Session { operator, opened: now, seen: now });
        Ok(id)
    }

    /// Whose session it is; being at work keeps it.
    pub(super) fn operator(&mut self, id: &str, now: Timestamp, at_work: bool) -> Option<Operator> {
        let key = key(id);
        let session = self.0.get_mut(&key)?;
        if !session.lasts(now) {
            self.0.remove(&key);
            return None;
        }
        if at_work {
            session.seen = session.seen.max(now);
        }
        Some(session.operator.clone())
    }

    pub(super) fn close(&mut self, id: &str) {
        self.0.remove(&key(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privet::Tenant;
    use privet::portal::Role;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000) + Duration::from_secs(seconds)
    }

    fn ann() -> Operator {
        Operator::new(Tenant::default(), "ann", Role::Agent).unwrap()
    }

    #[test]
    fn a_session_ends_when_nobody_works_and_after_a_day_of_work() {
        let mut sessions = Sessions::default();
        let id = sessions.open(ann(), at(0)).unwrap();
        assert_eq!(id.len(), 32);
        assert!(sessions.operator(&id, at(29 * 60), false).is_some());
        assert!(sessions.operator(&id, at(30 * 60), true).is_none(), "waiting is not working");
        let id = sessions.open(ann(), at(0)).unwrap();
        for minute in (0..12 * 60).step_by(20) {
            assert!(sessions.operator(&id, at(minute * 60), true).is_some());
        }
        assert!(sessions.operator(&id, at(12 * 3_600), true).is_none());
        assert!(sessions.operator("", at(0), true).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_closed_one_by_one() {
        let mut sessions = Sessions::default();
        let ids: Vec<_> = (0..11).map(|n| sessions.open(ann(), at(n)).unwrap()).collect();
        assert!(sessions.operator(&ids[0], at(20), true).is_none());
        assert!(ids[1..].iter().all(|id| sessions.operator(id, at(20), true).is_some()));
        sessions.close(&ids[1]);
        assert!(sessions.operator(&ids[1], at(20), true).is_none());
        assert!(sessions.operator(&ids[2], at(20), true).is_some());
    }
}
