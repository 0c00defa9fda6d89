//! The ledger: one chain, whoever appends, and what was changed shows.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use privet::store::{ErasureCause, Ledger as _, LedgerEntry, SubjectDigest};
use privet::{Scope, Timestamp};
use privet_postgres::PostgresOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

fn entry(instance: u8, n: u8) -> LedgerEntry {
    let mut subject = [instance; 16];
    subject[0] = n;
    LedgerEntry::Erased {
        scope: Scope::default(),
        subject: SubjectDigest::from_bytes(subject),
        cause: ErasureCause::Withdrawal,
        at: Timestamp::from_millis(n.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_append_at_once_do_not_fork_the_chain() {
    let Some(server) = privet_test_postgres::server() else { return };
    append_at_once(PostgresOptions::new(server.url()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_append_at_once_behind_a_pooler_do_not_fork_the_chain() {
    let Some(pooler) = privet_test_postgres::pooler(3) else { return };
    append_at_once(PostgresOptions::new(&pooler.url()).unwrap().behind_pooler()).await;
}

async fn append_at_once(options: PostgresOptions) {
    let options = options.schema(&privet_test_postgres::fresh_name());
    let mut instances = Vec::new();
    for instance in 0..4_u8 {
        let ledger = options.ledger().await.unwrap();
        instances.push(tokio::spawn(async move {
            for n in 0..50 {
                ledger.append(&[entry(instance, n), entry(instance, n + 100)]).await.unwrap();
            }
        }));
    }
    for instance in instances {
        instance.await.unwrap();
    }
    let ledger = options.ledger().await.unwrap();
    ledger.append(&[]).await.unwrap();
    let all = ledger.entries().await.unwrap();
    assert_eq!(all.len(), 400);
    for instance in 0..4 {
        let own: Vec<_> = all.iter().filter(|e| (0..200).any(|n| **e == entry(instance, n))).collect();
        let expected: Vec<_> = (0..50).flat_map(|n| [entry(instance, n), entry(instance, n + 100)]).collect();
        assert!(own.into_iter().eq(&expected), "each in its order");
    }
}

#[tokio::test]
async fn a_changed_or_missing_line_is_found() {
    let Some(server) = privet_test_postgres::server() else { return };
    let pool = PgPool::connect(server.url()).await.unwrap();
    for harm in [
        "UPDATE \"?\".ledger SET line = replace(line, '\"at\":2', '\"at\":9') WHERE seq = 2",
        "UPDATE \"?\".ledger SET line = replace(line, 'withdrawal', 'request') WHERE seq = 3",
        "DELETE FROM \"?\".ledger WHERE seq = 1",
        "DELETE FROM \"?\".ledger WHERE seq = 2",
        "UPDATE \"?\".ledger SET seq = 0 WHERE seq = 1",
    ] {
        let schema = privet_test_postgres::fresh_name();
        let ledger = PostgresOptions::new(server.url()).unwrap().schema(&schema).ledger().await.unwrap();
        for n in 1..=3 {
            ledger.append(&[entry(1, n)]).await.unwrap();
        }
        let harm = harm.replace('?', &schema);
        sqlx::raw_sql(AssertSqlSafe(harm.clone())).execute(&pool).await.unwrap();
        let error = ledger.entries().await.unwrap_err().to_string();
        assert!(error.contains("does not continue the chain"), "{harm}: {error}");
    }
}

/// Somebody keeps everybody from writing for longer than those who go together wait: each then goes alone, in whichever order, from
/// where the chain is then.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_could_not_be_written_together_are_written_alone() {
    const MANY: u8 = 20;
    let Some(server) = privet_test_postgres::server() else { return };
    let (pool, schema) = (PgPool::connect(server.url()).await.unwrap(), privet_test_postgres::fresh_name());
    let options = PostgresOptions::new(&server.named_url(&schema)).unwrap().schema(&schema);
    let ledger = options.wait(Duration::from_secs(60)).ledger().await.unwrap();
    ledger.append(&[entry(2, 0)]).await.unwrap();
    let mut holding = pool.begin().await.unwrap();
    let hold = AssertSqlSafe(format!("LOCK TABLE \"{schema}\".ledger IN SHARE MODE"));
    sqlx::query(hold).execute(&mut *holding).await.unwrap();
    let waiting: Vec<_> = (0..MANY)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.append(&[entry(1, n)]).await })
        })
        .collect();
    // The first one, those that came behind it, and then two alone.
    let mut seen = BTreeSet::new();
    let sql = "SELECT pid, xact_start::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
    let all_were = async {
        while seen.len() < 4 {
            let rows = sqlx::query(sql).bind(&schema).fetch_all(&pool).await.unwrap();
            seen.extend(rows.iter().map(|row| (row.get::<i32, _>(0), row.get::<Option<String>, _>(1))));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_were).await.unwrap();
    holding.rollback().await.unwrap();
    for appended in waiting {
        appended.await.unwrap().unwrap();
    }
    let all = ledger.entries().await.unwrap();
    assert_eq!(all.len(), 1 + usize::from(MANY));
    for n in 0..MANY {
        assert_eq!(all.iter().filter(|e| **e == entry(1, n)).count(), 1, "{n}");
    }
}
