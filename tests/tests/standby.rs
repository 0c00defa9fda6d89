//! Lists and exports that are read from a standby say how old they are.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::time::Duration;

use privet::clock::SystemClock;
use privet::{KeyRing, Storage};
use privet_postgres::PostgresOptions;
use privet_test_postgres::Cluster;
use privet_tests::lab::{self, OPERATOR};
use privet_tests::server::Framework;
use privet_tests::site::Site;
use privet_web::testing::Asked;
use rstest::rstest;
use serde_json::Value;
use sqlx::{PgPool, Row as _};

async fn storage(primary: &Cluster, key: &KeyRing, standby: Option<&Cluster>) -> Storage {
    let mut options = PostgresOptions::new(&primary.url()).unwrap();
    if let Some(standby) = standby {
        options = options.read_url(&standby.url()).unwrap().read_lag_bound(Duration::from_secs(3_600));
    }
    options.storage(key.clone()).await.unwrap()
}

async fn shown(site: &mut Site, path: &str, accept: &str) -> String {
    let asked = Asked::new("GET", format!("/privacy/portal/main/{path}"))
        .header(OPERATOR, "privacy-officer@main")
        .header("accept", accept);
    let answered = site.ask(asked).await;
    assert_eq!(answered.status, 200, "{path}");
    String::from_utf8(answered.body.to_vec()).unwrap()
}

/// What is listed, and drawn.
const LISTS: [&str; 3] = ["contacts", "log", "overview"];

/// The age of each list as JSON has it, and of the export.
async fn ages(site: &mut Site) -> Vec<Value> {
    let mut ages = Vec::new();
    for path in LISTS {
        let list: Value = serde_json::from_str(&shown(site, path, "application/json").await).unwrap();
        ages.push(list["behind_ms"].clone());
    }
    let export = shown(site, "export?format=jsonl", "*/*").await;
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    ages.push(last["manifest"]["behind_ms"].clone());
    ages
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_list_from_a_standby_says_how_old_it_is(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let Some(primary) = Cluster::primary() else { return };
    let key = KeyRing::generate().unwrap();
    let mut present = lab::open(framework, storage(&primary, &key, None).await, SystemClock).await;
    assert_eq!(ages(&mut present).await, [const { Value::Null }; LISTS.len() + 1]);
    for path in LISTS {
        assert!(!shown(&mut present, path, "text/html").await.contains("Read from a copy"), "{path}");
    }

    let standby = primary.standby("lists");
    let there = PgPool::connect(&standby.url()).await.unwrap();
    let query = async |sql: &'static str| sqlx::query(sql).fetch_one(&there).await.unwrap();
    let replayed = "SELECT to_regclass('privet.contacts') IS NOT NULL";
    let stopped = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
    let until = async |sql| {
        let so = async { while !query(sql).await.get::<bool, _>(0) {} };
        tokio::time::timeout(Duration::from_secs(60), so).await.unwrap();
    };
    until(replayed).await;
    query("SELECT 1 FROM (SELECT pg_wal_replay_pause()) AS paused").await;
    until(stopped).await;
    // What it does not know of yet.
    let pool = PgPool::connect(&primary.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE news (id INT)").execute(&pool).await.unwrap();
    until("SELECT clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()) > interval '20 ms'").await;

    let mut site = lab::open(framework, storage(&primary, &key, Some(&standby)).await, SystemClock).await;
    for age in ages(&mut site).await {
        assert!(age.as_u64().is_some_and(|ms| ms >= 20), "{age}");
    }
    for path in LISTS {
        let page = shown(&mut site, &format!("{path}?lang=en"), "text/html").await;
        assert!(page.contains("Read from a copy of the database that is behind by about"), "{path}: {page}");
    }
}
