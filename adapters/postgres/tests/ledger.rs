//! The ledger: one chain, whoever appends, and what was changed shows.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::store::{ErasureCause, Ledger as _, LedgerEntry, SubjectDigest};
use privet::{Scope, Timestamp};
use privet_postgres::PostgresOptions;

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
    let pool = sqlx::PgPool::connect(server.url()).await.unwrap();
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
        sqlx::raw_sql(sqlx::AssertSqlSafe(harm.clone())).execute(&pool).await.unwrap();
        let error = ledger.entries().await.unwrap_err().to_string();
        assert!(error.contains("does not continue the chain"), "{harm}: {error}");
    }
}
