//! Housekeeping is done by one instance, and by another one when that is killed.

use privet_tests::client::Visitor;
use privet_tests::database::{Backend, Database};
use privet_tests::server::folder;
use privet_tests::until;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::instance;

/// The tables of the instances.
struct Tables {
    pool: PgPool,
    schema: String,
}

impl Tables {
    fn sql(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("privet.", &format!("\"{}\".", self.schema)))
    }

    async fn conversations(&self) -> Vec<Vec<u8>> {
        let rows = sqlx::query(self.sql("SELECT id FROM privet.conversations")).fetch_all(&self.pool).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// A chat of a visit is over a day after what was said last.
    async fn expire(&self, conversation: &[u8]) {
        let sql = "UPDATE privet.conversations SET last_message = last_message - 3 * 86400000 WHERE id = $1";
        let done = sqlx::query(self.sql(sql)).bind(conversation).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    /// Who keeps house, and the token that goes with it.
    async fn lease(&self) -> (Option<Vec<u8>>, i64) {
        let sql = "SELECT owner, token FROM privet.leases WHERE name = 'housekeeping'";
        let row = sqlx::query(self.sql(sql)).fetch_one(&self.pool).await.unwrap();
        (row.get(0), row.get(1))
    }
}

/// The instance that keeps house is killed with its lease in hand: what becomes due after its sweep is taken by the other one,
/// once it is not heard of for 20 seconds, under a higher token.
#[tokio::test(flavor = "multi_thread")]
async fn another_instance_sweeps_when_the_one_that_did_is_killed() {
    let Some(database) = Database::fresh(Backend::Postgres) else { return };
    let Database::Postgres { schema, .. } = &database else { unreachable!("it was asked for") };
    let tables = Tables { pool: database.pool(), schema: schema.clone() };
    let data = folder();
    let first = instance(&database, data.path(), 0).await;
    for text in ["one", "two"] {
        assert_eq!(Visitor::new(first.addr).say(text, "ai-search").await.status, 200);
    }
    assert!(first.stop().await.status.success());
    let all = tables.conversations().await;
    let [one, two] = &all[..] else { panic!("two chats: {all:?}") };

    // What the holder finds at its start is gone: its next sweep is ten minutes away.
    tables.expire(one).await;
    let holder = instance(&database, data.path(), 0).await;
    until("the first one sweeps", async || tables.conversations().await == [two.clone()]).await;
    let (owner, token) = tables.lease().await;
    assert!(owner.is_some());
    let heir = instance(&database, data.path(), 1).await;
    tables.expire(two).await;
    assert_eq!(Visitor::new(heir.addr).get("/").await.status, 200);
    assert_eq!(tables.lease().await.0, owner, "whoever has the lease keeps it");
    assert_eq!(tables.conversations().await.len(), 1);
    holder.kill().await;
    assert_eq!(tables.lease().await.0, owner, "it had no chance to give it back");
    until("the other one sweeps", async || tables.conversations().await.is_empty()).await;
    let (next, higher) = tables.lease().await;
    assert!(next.is_some() && next != owner, "another one keeps house");
    assert!(higher > token, "{higher} after {token}");
    assert!(heir.stop().await.status.success());
}
