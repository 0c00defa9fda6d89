//! A primary that dies while it is written to, and a synchronous standby that takes its place: the store goes on, and what was
//! acknowledged is there.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use privet::catalogue::{CategoryCode, Language};
use privet::consent::{Act, ConsentRecord, Method, NoticeId, RecordId, RecordedDecision};
use privet::consent::{Decision, Regime};
use privet::store::{ConsentStore as _, NewRecord, SubjectDigest};
use privet::{Catalogue, KeyRing, Privet, Scope, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{Authority, Cluster, PASSWORD};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

fn id(task: u8, n: u64) -> [u8; 16] {
    let mut id = [task; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id
}

/// A grant that begins a line.
fn record(task: u8, n: u64, at: Timestamp) -> NewRecord {
    let granted = RecordedDecision::new(CategoryCode::new(2).unwrap(), Decision::Granted, [1; 3]);
    let record = ConsentRecord {
        id: RecordId::from_bytes(id(task, n)),
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes(id(task, n)),
        act: Act::Grant,
        at,
        until: at + Duration::from_secs(86_400),
        notice: NoticeId::from_bytes([7; 32]),
        language: Language::new("en").unwrap(),
        regime: Regime::OptIn,
        method: Method::Form,
        gesture: true,
        gpc: false,
        decisions: vec![granted],
    };
    NewRecord::new(record, None)
}

/// Until something is so, for no longer than a test may take.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}

/// How the store reaches its servers.
enum Way {
    Plain,
    BehindTheWall,
    Encrypted(Authority),
}

impl Way {
    /// A primary, and on it a role that is no superuser, so that it can be kept behind the wall; it makes its own schema.
    async fn primary(&self) -> Option<Cluster> {
        let primary = match self {
            Self::Encrypted(authority) => Cluster::encrypted(authority)?,
            Self::Plain | Self::BehindTheWall => Cluster::primary()?,
        };
        let pool = PgPool::connect(&primary.url()).await.unwrap();
        let sql =
            format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE postgres TO app");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        Some(primary)
    }

    /// The URL for that role.
    fn url(&self, cluster: &Cluster) -> String {
        let Self::Encrypted(authority) = self else {
            return cluster.url().replace("://postgres@", "://app@");
        };
        let url = cluster.tcp_url("localhost").replace("://postgres:", "://app:");
        format!("{url}?sslmode=verify-full&sslrootcert={}", authority.root().display())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_gone_on_with() {
    goes_on(&Way::Plain, Cluster::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_gone_on_with_behind_row_level_security() {
    goes_on(&Way::BehindTheWall, Cluster::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_gone_on_with_over_tls() {
    let Some(authority) = Authority::new() else { return };
    goes_on(&Way::Encrypted(authority), Cluster::kill).await;
}

/// A machine that is cut off does not say that it is gone: whoever waits for it would wait for a quarter of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_falls_silent_is_left() {
    goes_on(&Way::Plain, Cluster::silence).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_falls_silent_is_left_over_tls() {
    let Some(authority) = Authority::new() else { return };
    goes_on(&Way::Encrypted(authority), Cluster::silence).await;
}

async fn goes_on(way: &Way, ends: fn(&Cluster)) {
    let Some(primary) = way.primary().await else { return };
    let standby = primary.standby("second");
    let there = PgPool::connect(&primary.url()).await.unwrap();
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = 'second'",
        "ALTER SYSTEM SET synchronous_commit = on",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::raw_sql(sql).execute(&there).await.unwrap();
    }
    until(async || {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        sqlx::query(sql).fetch_one(&there).await.unwrap().get::<i64, _>(0) == 1
    })
    .await;
    // The standby is named first: it is found out who takes writes.
    let options = PostgresOptions::new(&way.url(&standby)).unwrap();
    let options = options.failover_url(&way.url(&primary)).unwrap();
    let options = options.connections(8).wait(Duration::from_secs(60));
    let options = if matches!(way, Way::BehindTheWall) { options.row_security() } else { options };
    let store = options.store().await.unwrap();
    let catalogue = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"";
    let ring = KeyRing::generate().unwrap();
    let storage = options.storage(ring).await.unwrap();
    let privet =
        Privet::builder(Catalogue::from_toml(catalogue).unwrap()).storage(storage).build().await.unwrap();
    let (now, contacts) = (privet.now(), CategoryCode::new(5).unwrap());
    let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..6_u8)
        .map(|task| {
            let (store, over, acknowledged) = (store.clone(), over.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut n = 0;
                while !over.load(Ordering::SeqCst) {
                    let new = record(task, n, now);
                    store.append_record(&new, contacts, new.record.until).await.unwrap();
                    n += 1;
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                n
            })
        })
        .collect();
    let more = async |than: u64| until(async || acknowledged.load(Ordering::SeqCst) > than).await;
    more(100).await;
    ends(&primary);
    standby.promote();
    // It waits for nobody now.
    let promoted = PgPool::connect(&standby.url()).await.unwrap();
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"] {
        // Its own commit may wait for a standby until the setting is read.
        sqlx::raw_sql(sql).execute(&promoted).await.unwrap();
    }
    more(acknowledged.load(Ordering::SeqCst) + 100).await;
    over.store(true, Ordering::SeqCst);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    let sql = "SELECT id FROM privet.consent_records";
    let kept = sqlx::query(sql).fetch_all(&promoted).await.unwrap();
    let kept: std::collections::BTreeSet<Vec<u8>> = kept.iter().map(|row| row.get(0)).collect();
    for (task, count) in (0_u8..).zip(&written) {
        for n in 0..*count {
            assert!(kept.contains(id(task, n).as_slice()), "record {n} of writer {task} is gone");
        }
    }
    assert_eq!(kept.len() as u64, written.iter().sum::<u64>(), "once each");
    match way {
        Way::Plain => {}
        Way::BehindTheWall => {
            // On the promoted server, too, who names no tenant sees nothing.
            let blind = PgPool::connect(&way.url(&standby)).await.unwrap();
            assert!(sqlx::query(sql).fetch_all(&blind).await.unwrap().is_empty());
        }
        Way::Encrypted(_) => {
            let sql = "SELECT bool_and(s.ssl) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.usename = 'app'";
            let all = sqlx::query(sql).fetch_one(&promoted).await.unwrap();
            assert_eq!(all.get::<Option<bool>, _>(0), Some(true));
        }
    }
    let report = privet.verify_consent(&Tenant::default()).await.unwrap();
    assert_eq!((report.damage, report.records), (None, written.iter().sum::<u64>()));
}

/// A server that begins to refuse writes, and keeps its connections: what it refuses is done by the one that was promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_from_now_on_is_left() {
    const NAME: &str = "privet-reads";
    let Some(primary) = Cluster::primary() else { return };
    let standby = primary.standby("second");
    let named = |cluster: &Cluster| format!("{}&application_name={NAME}", cluster.url());
    let options = PostgresOptions::new(&named(&primary)).unwrap().failover_url(&named(&standby)).unwrap();
    let store = options.connections(4).wait(Duration::from_secs(3)).store().await.unwrap();
    let (there, contacts) = (PgPool::connect(&primary.url()).await.unwrap(), CategoryCode::new(5).unwrap());
    let now = Timestamp::from_millis(1_800_000_000_000);
    let writes = async |n: u64| {
        let new = record(1, n, now);
        store.append_record(&new, contacts, new.record.until).await.map(drop)
    };
    writes(0).await.unwrap();
    let connected = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        sqlx::query(sql).bind(NAME).fetch_one(&there).await.unwrap().get::<i64, _>(0)
    };
    assert!(connected().await > 0);

    for sql in ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sql).execute(&there).await.unwrap();
    }
    // While nobody else takes writes it is told what is the matter. A server takes a moment to read its settings.
    let mut n = 0;
    until(async || {
        n += 1;
        let Err(refused) = writes(n).await else { return false };
        assert!(refused.to_string().contains("connect to the primary: this server only reads"), "{refused}");
        true
    })
    .await;
    // It still reads, on connections that are still open.
    assert!(store.line_head(&Scope::default(), SubjectDigest::from_bytes(id(1, 0))).await.unwrap().is_some());
    assert!(connected().await > 0, "its connections are there");

    until(async || {
        let sql = "SELECT pg_current_wal_lsn()::text";
        let written: String = sqlx::query(sql).fetch_one(&there).await.unwrap().get(0);
        let standby = PgPool::connect(&standby.url()).await.unwrap();
        let sql = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        sqlx::query(sql).bind(written).fetch_one(&standby).await.unwrap().get(0)
    })
    .await;
    standby.promote();
    writes(1_000).await.unwrap();
    let sql = "SELECT count(*) FROM privet.consent_records WHERE id = $1";
    let kept = async |pool: &PgPool| {
        sqlx::query(sql).bind(id(1, 1_000).to_vec()).fetch_one(pool).await.unwrap().get::<i64, _>(0)
    };
    let promoted = PgPool::connect(&standby.url()).await.unwrap();
    assert_eq!((kept(&promoted).await, kept(&there).await), (1, 0), "it went to the one that takes writes");
    // And everything that was acknowledged before is there.
    let all = sqlx::query("SELECT id FROM privet.consent_records").fetch_all(&promoted).await.unwrap();
    assert_eq!(all.len() as u64, n + 1, "those before the refusal, and this one");
}
