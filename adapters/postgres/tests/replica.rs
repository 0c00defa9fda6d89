//! A streaming standby for lists: what is not replayed yet is not there, and how far it is behind is shown.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod lists;
#[path = "../../../tests/src/log.rs"]
#[allow(clippy::expect_used, unreachable_pub, reason = "it is shared with other tests")]
mod log;

use std::time::Duration;

use privet::contact::ContactFilter;
use privet::store::{Horizon, PortalStore as _};
use privet::{Day, Scope, Timestamp};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::Cluster;
use sqlx::{PgPool, Row as _};

use lists::{event, listed, until};

mod itself {
    use super::{PostgresOptions, PostgresStore};
    use privet_test_postgres::{fresh_name, server};

    /// With nothing to replay, lists are as they are without it: the public suite.
    async fn fresh() -> (PostgresStore, ()) {
        let url = server().unwrap().url();
        let options = PostgresOptions::new(url).unwrap().schema(&fresh_name()).read_url(url).unwrap();
        (options.store().await.unwrap(), ())
    }

    fn run(case: impl Future<Output = ()>) {
        if server().is_some() {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
        }
    }

    privet::store_tests!(fresh, run);
}

async fn pause(standby: &PgPool) {
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(standby).await.unwrap();
    until(async || {
        let row = sqlx::query("SELECT pg_get_wal_replay_pause_state()").fetch_one(standby).await.unwrap();
        row.get::<String, _>(0) == "paused"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_from_a_standby_that_says_how_far_it_is_behind() {
    let Some(primary) = Cluster::primary() else { return };
    // The tables are there before the copy is made.
    PostgresOptions::new(&primary.url()).unwrap().store().await.unwrap();
    let standby = primary.standby("lists");
    let options = PostgresOptions::new(&primary.url()).unwrap().read_url(&standby.url()).unwrap();
    let store = options.store().await.unwrap();
    let there = PgPool::connect(&standby.url()).await.unwrap();

    store.append_audit(&event(1)).await.unwrap();
    until(async || listed(&store).await == 1).await;
    until(async || store.replica_lag().await.unwrap().unwrap().bytes == 0).await;
    assert_eq!(store.replica_lag().await.unwrap().unwrap().behind, Duration::ZERO);

    pause(&there).await;
    store.append_audit(&event(2)).await.unwrap();
    assert_eq!(listed(&store).await, 1, "it was not replayed yet");
    let lag = store.replica_lag().await.unwrap().unwrap();
    assert!(lag.bytes > 0 && lag.behind > Duration::ZERO, "{lag:?}");

    // The other lists are read there too, and an export of one moment.
    let (scope, horizon) = (Scope::default(), Horizon::unlimited(Timestamp::from_millis(0)));
    let filter = ContactFilter::default();
    store.count_contacts(&scope, &filter, Timestamp::from_millis(0), 9, &horizon).await.unwrap();
    store.figures(&scope, Day::from_number(0), Day::from_number(1), &horizon).await.unwrap();
    let mut moment = store.snapshot(&scope, &horizon).await.unwrap();
    assert!(moment.contacts(None, 9).await.unwrap().is_empty());
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM privet.contacts%' AND pid <> pg_backend_pid()";
    let asked: i64 = sqlx::query(asked).fetch_one(&there).await.unwrap().get(0);
    assert!(asked > 0, "the standby was asked");

    sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&there).await.unwrap();
    until(async || listed(&store).await == 2).await;

    // When it is gone the primary is read; and a store is made without it.
    drop((moment, there, standby));
    store.append_audit(&event(3)).await.unwrap();
    assert_eq!(listed(&store).await, 3);
    assert!(store.replica_lag().await.is_err());
    assert_eq!(listed(&options.store().await.unwrap()).await, 3);
}

const BEHIND: &str = "the standby for lists and exports is behind, and the primary is read instead";

/// On one thread, whose log is listened to.
#[tokio::test]
async fn a_standby_that_is_too_far_behind_is_told_of() {
    let Some(primary) = Cluster::primary() else { return };
    PostgresOptions::new(&primary.url()).unwrap().store().await.unwrap();
    let standby = primary.standby("late");
    let there = PgPool::connect(&standby.url()).await.unwrap();
    let bound = Duration::from_millis(200);
    let options = PostgresOptions::new(&primary.url()).unwrap().read_url(&standby.url()).unwrap();
    let store = options.clone().read_lag_bound(bound).store().await.unwrap();
    until(async || store.replica_lag().await.unwrap().unwrap().bytes == 0).await;

    // How far it is behind is looked at with the first list, and then every few seconds: each store here has its first.
    let first_list = async |options: PostgresOptions| {
        let store = options.store().await.unwrap();
        let log = log::Log::default();
        let listening = log.listen(tracing::Level::WARN);
        let count = listed(&store).await;
        drop(listening);
        (count, log.said())
    };
    let (count, said) = first_list(options.clone().read_lag_bound(bound)).await;
    assert!(count == 0 && !said.contains(BEHIND), "it has everything: {said}");

    pause(&there).await;
    store.append_audit(&event(1)).await.unwrap();
    until(async || store.replica_lag().await.unwrap().unwrap().behind > bound).await;
    let lag = store.replica_lag().await.unwrap().unwrap();
    assert!(lag.bytes > 0 && lag.behind > bound, "{lag:?}");
    let (count, said) = first_list(options.clone().read_lag_bound(bound)).await;
    assert_eq!(count, 1, "the primary is read instead");
    assert!(said.contains(BEHIND) && said.contains("behind_ms=") && said.contains("bytes="), "{said}");
    assert!(!said.contains("postgres://"), "{said}");
    let (count, said) = first_list(options.read_lag_bound(Duration::from_secs(3_600))).await;
    assert!(count == 0 && !said.contains(BEHIND), "that is near enough: {said}");
}
