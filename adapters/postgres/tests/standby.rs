//! What a standby must not answer: when it follows the primary no more, when it is too far behind, and when somebody is looked
//! for.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod lists;

use std::time::Duration;

use privet::contact::{ContactFilter, ContactId, IdPrefix};
use privet::store::{ContactQuery, ContactStore as _, Horizon, PortalStore as _, SubjectDigest};
use privet::{Error, Scope, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::Cluster;
use sqlx::{PgPool, Row as _};

use lists::{event, listed, until};

/// A store that has read nothing yet, so that it looks at the server that it reads from before it does.
async fn fresh(primary: &Cluster, read: &str, bound: Duration) -> PostgresStore {
    let options = PostgresOptions::new(&primary.url()).unwrap().read_url(read).unwrap();
    options.read_lag_bound(bound).store().await.unwrap()
}

const LONG: Duration = Duration::from_secs(3_600);

fn is_astray(lag: &privet::Result<Option<privet_postgres::ReplicaLag>>) -> bool {
    matches!(lag, Err(error @ Error::Unavailable { .. }) if error.to_string().contains("does not follow the primary"))
}

/// One that was promoted writes a history of its own; one that was detached has stopped. Neither knows of what comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_follows_no_more_is_not_read() {
    let Some(primary) = Cluster::primary() else { return };
    PostgresOptions::new(&primary.url()).unwrap().store().await.unwrap();
    let standby = primary.standby("astray");
    let store = fresh(&primary, &standby.url(), LONG).await;
    store.append_audit(&event(1)).await.unwrap();
    until(async || store.replica_lag().await.unwrap().unwrap().bytes == 0).await;
    assert_eq!(listed(&store).await, 1);

    standby.promote();
    store.append_audit(&event(2)).await.unwrap();
    let store = fresh(&primary, &standby.url(), LONG).await;
    assert_eq!(listed(&store).await, 2, "read at the primary");
    assert_eq!(listed(&store).await, 2, "and again");
    let lag = store.replica_lag().await;
    assert!(is_astray(&lag), "{lag:?}");

    // The promoted one is the primary now, and who still follows the old one knows nothing of it.
    let left = primary.standby("left");
    let store = fresh(&standby, &left.url(), LONG).await;
    assert_eq!(listed(&store).await, 1, "the second event is in the other history");
    assert!(is_astray(&store.replica_lag().await));

    // One that follows nobody, on the timeline of the primary.
    let other = Cluster::primary().unwrap();
    PostgresOptions::new(&other.url()).unwrap().store().await.unwrap();
    let store = fresh(&primary, &other.url(), LONG).await;
    assert_eq!(listed(&store).await, 2);
    assert!(is_astray(&store.replica_lag().await));
    // The primary itself has everything.
    let store = fresh(&primary, &primary.url(), Duration::ZERO).await;
    assert_eq!(store.replica_lag().await.unwrap().unwrap().behind, Duration::ZERO);
    assert_eq!(listed(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_looked_for_and_what_is_too_old_is_read_at_the_primary() {
    let Some(primary) = Cluster::primary() else { return };
    PostgresOptions::new(&primary.url()).unwrap().store().await.unwrap();
    let standby = primary.standby("late");
    let store = fresh(&primary, &standby.url(), LONG).await;
    until(async || store.replica_lag().await.unwrap().unwrap().bytes == 0).await;
    let there = PgPool::connect(&standby.url()).await.unwrap();
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&there).await.unwrap();
    until(async || {
        let row = sqlx::query("SELECT pg_get_wal_replay_pause_state()").fetch_one(&there).await.unwrap();
        row.get::<String, _>(0) == "paused"
    })
    .await;
    store.append_audit(&event(1)).await.unwrap();
    let pool = PgPool::connect(&primary.url()).await.unwrap();
    let contact =
        "INSERT INTO privet.contacts (tenant, site, id, subject, epoch, created, last_seen, conversations,
                     consent, consent_line, consent_until, material, identity, identity_text)
                   VALUES ('main', 'main', $1, $1, 1, 1, 1, 0, $1, $1, 9, '\\x010101', $2, '\\x00')";
    sqlx::query(contact).bind([7_u8; 16].to_vec()).bind([8_u8; 16].to_vec()).execute(&pool).await.unwrap();

    let (scope, now) = (Scope::default(), Timestamp::from_millis(2));
    let horizon = Horizon::unlimited(now);
    let found = async |filter: ContactFilter| {
        let count = store.count_contacts(&scope, &filter, now, 9, &horizon).await.unwrap();
        let query = ContactQuery::first(9).only(filter);
        let listed = store.contacts(&scope, &query, &horizon).await.unwrap().len();
        (count, listed)
    };
    let id = ContactId::from_bytes([7; 16]).to_string();
    let by_id = ContactFilter::default().id(id[..8].parse::<IdPrefix>().unwrap());
    let mut named = ContactFilter::default();
    named.identity = Some(SubjectDigest::from_bytes([8; 16]));
    assert_eq!(found(ContactFilter::default()).await, (0, 0), "the list is the standby's");
    assert_eq!(found(by_id).await, (1, 1));
    assert_eq!(found(named).await, (1, 1));

    let bound = Duration::from_millis(20);
    until(async || store.replica_lag().await.unwrap().unwrap().behind > bound).await;
    assert_eq!(listed(&store).await, 0, "within its bound");
    let behind = async |store: &PostgresStore| {
        let moment = store.snapshot(&scope, &horizon).await.unwrap();
        [store.lists_behind().await.unwrap(), moment.behind()]
    };
    assert!(behind(&store).await.iter().all(|behind| behind.is_some_and(|b| b > bound)), "and says so");
    let strict = fresh(&primary, &standby.url(), bound).await;
    assert_eq!(listed(&strict).await, 1);
    assert_eq!(behind(&strict).await, [None; 2], "that is the present");
    let mut moment = strict.snapshot(&scope, &horizon).await.unwrap();
    assert_eq!(moment.contacts(None, 9).await.unwrap().len(), 1);
}
