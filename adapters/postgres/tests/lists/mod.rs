//! A list that grows by one entry, as a standby shows it.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "helpers of tests, which have no use for all of them"
)]

use std::time::Duration;

use privet::portal::{AuditEvent, AuditId, Outcome, Verb};
use privet::store::PortalStore as _;
use privet::{Tenant, Timestamp};
use privet_postgres::PostgresStore;

pub fn event(n: u8) -> AuditEvent {
    AuditEvent::new(
        AuditId::from_bytes([n; 16]),
        Tenant::default(),
        None,
        Timestamp::from_millis(n.into()),
        "ann".to_owned(),
        Verb::SeeContact,
        None,
        Outcome::Allowed,
    )
}

pub async fn listed(store: &PostgresStore) -> usize {
    store.audit(&Tenant::default(), None, 99).await.unwrap().len()
}

/// Until something is so, for no longer than a test may take.
pub async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}
