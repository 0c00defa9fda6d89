//! Futures that are dropped in the middle, as when a visitor goes away: whoever comes next on the same connection, who may be the
//! app itself, does not notice.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use privet::consent::RecordId;
use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::{ConsentStore as _, PortalStore as _, RetentionStore as _};
use privet::{Scope, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};

fn event(n: u8) -> AuditEvent {
    let at = Timestamp::from_millis(n.into());
    let id = AuditId::from_bytes([n; 16]);
    AuditEvent::new(id, Tenant::default(), None, at, "ann".into(), Verb::SeeContact, None, Outcome::Allowed)
}

/// Gets a future so far, and drops it. Whether it was through before.
async fn dropped<T>(polls: u32, quick: bool, future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await {
            return true;
        }
        if quick {
            // Hardly anything was answered yet.
            tokio::task::yield_now().await;
            continue;
        }
        // Until the socket has something to say, or for a moment.
        let _ = tokio::time::timeout(Duration::from_micros(200), std::future::pending::<()>()).await;
    }
    false
}

#[tokio::test]
async fn nobody_meets_a_transaction_of_somebody_else() {
    let Some(server) = server() else { return };
    let name = fresh_name();
    let options = PostgresOptions::new(server.url()).unwrap().schema(&name);
    // One connection, for the one that goes away and the one that comes next.
    let store = options.clone().connections(1).store().await.unwrap();
    let other = options.connections(1).store().await.unwrap();
    let (scope, id) = (Scope::default(), RecordId::from_bytes([1; 16]));
    let mut in_the_middle = 0;
    for n in 0..80_u8 {
        let (polls, quick) = (u32::from(n % 12), n % 2 == 1);
        let (theirs, ours) = (event(80 + n), event(160 + n));
        let through = match n % 3 {
            0 => dropped(polls, quick, store.latest_record(&scope, id)).await,
            1 => dropped(polls, quick, store.append_audit(&event(n))).await,
            _ => dropped(polls, quick, store.erasing(None, 1)).await,
        };
        in_the_middle += u32::from(!through);
        // What somebody else commits is seen, and what is acknowledged here is there.
        other.append_audit(&theirs).await.unwrap();
        let seen = store.audit(&Tenant::default(), None, 1_000).await.unwrap();
        assert!(seen.contains(&theirs), "after {polls} polls a read saw an earlier moment");
        store.append_audit(&ours).await.unwrap();
        let kept = other.audit(&Tenant::default(), None, 1_000).await.unwrap();
        assert!(kept.contains(&ours), "after {polls} polls nothing was committed any more");
    }
    assert!(in_the_middle > 20, "enough were dropped in the middle");
}
