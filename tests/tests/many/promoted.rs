//! A primary that dies below an app that serves, and a synchronous standby that takes its place.

use privet::KeyRing;
use privet_postgres::PostgresOptions;
use privet_test_postgres::Cluster;
use privet_tests::database::Database;
use privet_tests::server::{Server, folder};
use privet_tests::until;
use sqlx::{PgPool, Row as _};

use crate::judged::judge;
use crate::people::Town;
use crate::starting;

/// From now on the primary acknowledges nothing that the standby does not have.
async fn synchronous(primary: &Cluster, standby: &str) {
    let pool = PgPool::connect(&primary.url()).await.unwrap();
    let names = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
    for sql in [&*names, "ALTER SYSTEM SET synchronous_commit = on", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
    }
    until("the standby is synchronous", async || {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        sqlx::query(sql).fetch_one(&pool).await.unwrap().get::<i64, _>(0) == 1
    })
    .await;
}

/// P7, P8: two instances that were told of both servers go on as the processes that they are, and everything that was
/// acknowledged before, meanwhile and after is in the database that was promoted.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_goes_on_with_a_promoted_standby() {
    let Some(primary) = Cluster::primary() else { return };
    let standby = primary.standby("second");
    synchronous(&primary, "second").await;
    let database = Database::Postgres { url: primary.url(), schema: "privet".to_owned() };
    let data = folder();
    let mut servers = Vec::new();
    for n in 0..2 {
        let starting = starting(&database, data.path(), n);
        servers.push(starting.env("PRIVET_DB_FAILOVER", standby.url()).running().await);
    }
    let pids: Vec<_> = servers.iter().map(Server::pid).collect();
    let options = PostgresOptions::new(&primary.url()).unwrap().failover_url(&standby.url()).unwrap();
    let ring = KeyRing::from_file(data.path().join("privet.key")).unwrap();
    let storage = options.storage(ring).await.unwrap();
    let (town, people) = Town::with_people(&servers, storage.clone(), 18);
    town.goes_on(300).await;
    primary.kill();
    standby.promote();
    town.goes_on(300).await;
    let people = town.ends(people).await;
    assert_eq!(servers.iter().map(Server::pid).collect::<Vec<_>>(), pids, "nobody was started again");
    let promoted = PgPool::connect(&standby.url()).await.unwrap();
    judge(people, servers, &storage, &promoted).await;
}
