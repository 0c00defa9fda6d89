//! Instances that are killed, one after the other, and the database as well in between.

use privet_test_postgres::Cluster;
use privet_tests::database::Database;
use privet_tests::server::folder;
use sqlx::PgPool;

use crate::instance;
use crate::judged::judge;
use crate::people::Town;

const INSTANCES: usize = 4;
const VISITORS: u8 = 24;

/// So many times an instance is killed: `PRIVET_TEST_KILLS=60` is the long form.
fn kills() -> usize {
    std::env::var("PRIVET_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// P7, P8: four instances and mixed traffic; one of them is killed again and again, and the database as well in between.
/// Whatever was acknowledged is there, what was withdrawn or erased is not, no counter is off, and the chain is whole.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_act_outlives_instances_and_the_database() {
    let Some(cluster) = Cluster::primary() else { return };
    let database = Database::Postgres { url: cluster.url(), schema: "privet".to_owned() };
    let data = folder();
    let mut servers = Vec::new();
    for n in 0..INSTANCES {
        servers.push(instance(&database, data.path(), n).await);
    }
    let storage = database.storage(data.path()).await;
    let (town, people) = Town::with_people(&servers, storage.clone(), VISITORS);
    for kill in 0..kills() {
        town.goes_on(150).await;
        if kill % 3 == 2 {
            cluster.kill();
            cluster.start_again();
        }
        let which = kill % INSTANCES;
        let old = std::mem::replace(&mut servers[which], instance(&database, data.path(), which).await);
        old.kill().await;
        town.moves(which, &servers[which]);
    }
    town.goes_on(150).await;
    let people = town.ends(people).await;
    let pool = PgPool::connect(&cluster.url()).await.unwrap();
    judge(people, servers, &storage, &pool).await;
}
