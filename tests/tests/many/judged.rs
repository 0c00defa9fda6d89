//! Whether everything that people were told is done is there, nothing that is over is, and no counter is off.

use std::collections::BTreeMap;

use privet::consent::{Act, CountKind};
use privet::store::{ConsentStore as _, ContactStore as _};
use privet::{Privet, Scope, Storage, Tenant};
use privet_test_postgres::ORPHANS;
use privet_tests::client::Visitor;
use privet_tests::server::Server;
use privet_tests::until;
use sqlx::{PgPool, Row as _};

use crate::people::{Counted, Held, Told};
use crate::{installation, texts};

/// What counts nothing once a sweep was through, beside [`ORPHANS`]. Nobody here erases a single message, so that a conversation
/// has all that were numbered.
const OFF: [&str; 6] = [
    "SELECT count(*) FROM privet.conversations c WHERE ((messages, messages, last_message) =
       (SELECT count(*), max(number), max(at) FROM privet.messages m
        WHERE m.tenant = c.tenant AND m.site = c.site AND m.conversation = c.id)) IS NOT TRUE",
    "SELECT count(*) FROM privet.contacts WHERE erasing IS NOT NULL",
    "SELECT count(*) FROM privet.conversations WHERE erasing IS NOT NULL",
    // Every text can be read: its key is there.
    "SELECT count(*) FROM privet.conversations c WHERE owner_kind = 2 AND NOT EXISTS
       (SELECT 1 FROM privet.keys k WHERE k.tenant = c.tenant AND k.kind = 2 AND k.id = c.subject)",
    "SELECT count(*) FROM privet.contacts c WHERE conversations > 0 AND NOT EXISTS
       (SELECT 1 FROM privet.keys k WHERE k.tenant = c.tenant AND k.kind = 2 AND k.id = c.subject)",
    "SELECT count(*) FROM privet.consent_records r WHERE NOT EXISTS
       (SELECT 1 FROM privet.consent_links l WHERE l.tenant = r.tenant AND l.segment = r.segment AND l.seq = r.seq)",
];

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

/// Looks, over HTTP as long as the instances are there, and then, once they have ended, at the tables in the schema `privet`.
pub(crate) async fn judge(
    people: Vec<(Visitor, Told)>,
    servers: Vec<Server>,
    storage: &Storage,
    pool: &PgPool,
) {
    let privet = installation(storage.clone()).await;
    let contacts = privet::catalogue::CategoryCode::built_in("contacts").unwrap();
    let scope = Scope::default();
    let (mut withdrawals, mut erasures, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for (mut visitor, told) in people {
        visitor.addr = servers[0].addr;
        let there = texts(&mut visitor).await;
        assert!(there.is_superset(&told.sent), "acknowledged and gone: {:?}", told.sent.difference(&there));
        // A chat of the visit is what remains of it, at most.
        let recognised = visitor.cookies.contains_key("__Host-privet-contact");
        assert!(!told.withdrawn || !recognised, "withdrawn and recognised");
        for (mut visit, text) in told.chats {
            visit.addr = servers[0].addr;
            assert!(
                texts(&mut visit).await.contains(&text),
                "acknowledged in a chat of a visit, and gone: {text}"
            );
        }
        for id in told.grants {
            let record = storage.store.record(&scope, id).await.unwrap();
            assert_eq!(record.expect("a grant was acknowledged").act, Act::Grant);
        }
        withdrawals.extend(told.withdrawals);
        erasures.extend(told.erasures);
        counted.extend(told.counted);
    }
    assert!(withdrawals.len() > 10 && erasures.len() > 10, "{} and {}", withdrawals.len(), erasures.len());
    for Held { contact, record, .. } in &withdrawals {
        // One that the store could not take at once came with the visitor's next request, and is taken soon after that.
        until("what was withdrawn is gone", async || {
            let latest = storage.store.latest_record(&scope, *record).await.unwrap().unwrap();
            !latest.grants(contacts, privet.now())
                && !storage.store.contact_lives(&scope, *contact).await.unwrap()
        })
        .await;
    }
    for Held { contact, record, .. } in &erasures {
        assert!(!storage.store.contact_lives(&scope, *contact).await.unwrap(), "erased and there");
        assert_eq!(storage.store.record(&scope, *record).await.unwrap(), None, "its person is cut from it");
    }

    let last: Vec<u32> = servers.iter().map(Server::pid).collect();
    for server in servers {
        let ended = server.stop().await;
        assert!(ended.status.success(), "{}", ended.said());
    }
    counts(pool, &counted, &last).await;
    tables(&privet, pool, &[withdrawals, erasures].concat()).await;
}

/// What is counted leaves no other trace. A process that ended by itself has written everything that it counted; of one that was
/// killed anything between nothing and all of it is there. Nothing counts twice, and nothing that nobody did.
async fn counts(pool: &PgPool, counted: &[Counted], ended: &[u32]) {
    let sql = "SELECT kind, sum(count)::bigint FROM privet.consent_counts GROUP BY kind";
    let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
    let there: BTreeMap<i16, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for kind in [CountKind::BannerShown, CountKind::Refusal] {
        let of_kind = counted.iter().filter(|c| c.kind == kind);
        let certain = of_kind.clone().filter(|c| c.acknowledged && ended.contains(&c.pid)).count();
        let most = of_kind.count();
        let there = there.get(&i16::from(kind.code())).copied().unwrap_or_default();
        let there = usize::try_from(there).unwrap();
        assert!(certain > 0 && (certain..=most).contains(&there), "{kind:?}: {there} of {certain} to {most}");
    }
}

/// Whatever an instance that died had left of an erasure a sweep has ended.
async fn tables(privet: &Privet, pool: &PgPool, over: &[Held]) {
    privet.sweep(privet.now()).await.unwrap();
    let again = privet.sweep(privet.now()).await.unwrap();
    assert!(again.is_nothing(), "{again:?}");
    let report = privet.verify_consent(&Tenant::default()).await.unwrap();
    assert_eq!(report.damage, None, "{report:?}");
    for sql in ORPHANS.into_iter().chain(OFF) {
        assert_eq!(count(pool, sql).await, 0, "{sql}");
    }
    // Messages hang on conversations: see ORPHANS.
    let left = "SELECT (SELECT count(*) FROM privet.contacts WHERE id = ANY($1)),
        (SELECT count(*) FROM privet.conversations WHERE owner_kind = 1 AND owner = ANY($1)),
        (SELECT count(*) FROM privet.keys WHERE kind = 2 AND id = ANY($2)),
        (SELECT count(*) FROM privet.contacts)";
    let ids: Vec<_> = over.iter().map(|held| held.contact.as_bytes().to_vec()).collect();
    let subjects: Vec<_> = over.iter().map(|held| held.subject.as_bytes().to_vec()).collect();
    let row = sqlx::query(left).bind(ids).bind(subjects).fetch_one(pool).await.unwrap();
    let left: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(left, [0; 3], "contacts, conversations and keys of those who are erased");
    assert!(row.get::<i64, _>(3) > 0, "and somebody is there");
}
