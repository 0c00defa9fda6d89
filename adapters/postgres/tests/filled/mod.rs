//! A schema with twenty thousand of everything, and what the server reads in it for a piece of work.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use privet::contact::{ContactId, ConversationId, PageRequest};
use privet::portal::{Operator, Portal, Role};
use privet::{KeyRing, Privet, Scope, Site, Tenant};
use privet_postgres::{PostgresOptions, PostgresStore};
use privet_test_postgres::{fresh_name, server};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio::runtime::Runtime;

use crate::common::{Browser, installation_on, save};
use crate::roles;

/// So often that a prepared statement gets a plan that does not look at values.
const TIMES: u32 = 8;
/// So many rows or entries of a table may be read at one time.
const FEW: i64 = 1_000;

/// What goes through all there is on purpose, in steps: whether each contact still stands on what is asked today.
const WALKS: &[(&str, &str)] = &[("a whole sweep", "contacts")];

/// From one row of each table twenty thousand: half of them this tenant's, and the others of ten more. The row itself stays.
const FILL: &[&str] = &[
    "CREATE TEMP TABLE n AS SELECT n, CASE WHEN n % 2 = 0 THEN 'main' ELSE 't' || n % 20 END AS tenant FROM generate_series(1, 20000) AS n",
    "INSERT INTO privet.contacts
     SELECT n.tenant, site, decode(md5('contact' || n), 'hex'), decode(md5('subject' || n), 'hex'), epoch,
            CASE n % 1000 WHEN 0 THEN 'LI' ELSE 'DE' END, created - n * 1000, last_seen - n * 1000, 1, decode(md5('record' || n), 'hex'),
            decode(md5('line' || n), 'hex'), consent_until, material, NULL, NULL, NULL, FALSE, NULL, NULL FROM privet.contacts, n",
    "INSERT INTO privet.conversations
     SELECT n.tenant, site, decode(md5('conversation' || n), 'hex'), CASE n % 4 WHEN 0 THEN 2 ELSE 1 END, decode(md5('contact' || n), 'hex'),
            CASE n % 4 WHEN 0 THEN decode(md5('subject' || n), 'hex') END, opened, CASE WHEN n % 100 <> 2 THEN opened END, last_message - n * 1000, 1,
            n % 8 < 4, FALSE, NULL FROM privet.conversations, n",
    "INSERT INTO privet.messages
     SELECT n.tenant, site, decode(md5('conversation' || n), 'hex'), 1, decode(md5('message' || n), 'hex'), at - n * 1000, channel, author, body, page
     FROM privet.messages, n",
    "INSERT INTO privet.consent_records
     SELECT n.tenant, segment, seq + 1000000 + n, site, decode(md5('record' || n), 'hex'), decode(md5('line' || n), 'hex'), act, at, until, notice,
            language, regime, method, gesture, gpc, decisions, salt, commitment FROM privet.consent_records, n",
    "INSERT INTO privet.consent_links SELECT n.tenant, segment, seq + 1000000 + n, until, digest, hash FROM privet.consent_links, n",
    "INSERT INTO privet.fences SELECT n.tenant, decode(md5('gone' || n), 'hex'), 1, 4102444800000 FROM n",
    "INSERT INTO privet.outbox
     SELECT n.tenant, 'main', decode(md5('told' || n), 'hex'), 'desk', 1, 1, decode(md5('subject' || n), 'hex'), 1800000000000 - n, 1, NULL, NULL, NULL, 1800000000000, TRUE FROM n",
    "INSERT INTO privet.audit_events SELECT n.tenant, decode(md5('seen' || n), 'hex'), 'main', 1800000000000 - n, 'Olga', 1, NULL, 1 FROM n",
    "INSERT INTO privet.notes
     SELECT n.tenant, 'main', decode(md5('contact' || n), 'hex'), decode(md5('note' || n), 'hex'), 1800000000000, 'Olga', '\\x01' FROM n",
    "ANALYZE",
];

fn ring() -> KeyRing {
    let mut bytes = [7; 32];
    bytes[0] = 1;
    KeyRing::from_bytes(bytes).unwrap()
}

/// A schema that was filled, and who looks at what is read in it.
pub(crate) struct Filled {
    pub(crate) rt: Runtime,
    superuser: PgPool,
    url: String,
    pub(crate) schema: String,
    walled: bool,
    browser: Browser,
    contact: ContactId,
    conversation: ConversationId,
    /// Of those that it was filled with, each with its conversation.
    others: Vec<(ContactId, ConversationId)>,
    /// What was read through.
    pub(crate) walks: Vec<String>,
    pub(crate) works: u32,
}

/// What a piece of work has.
pub(crate) struct On<'a> {
    pub(crate) privet: &'a Privet,
    pub(crate) store: &'a PostgresStore,
    pub(crate) olga: &'a Portal,
    pub(crate) browser: &'a mut Browser,
    pub(crate) contact: ContactId,
    pub(crate) conversation: ConversationId,
    /// Another one each time.
    pub(crate) other: (ContactId, ConversationId),
}

fn officer(privet: &Privet) -> Portal {
    let operator = Operator::new(Tenant::default(), "Olga", Role::PrivacyOfficer).unwrap();
    privet.portal(&operator, &Site::default()).unwrap()
}

impl Filled {
    pub(crate) fn new(walled: bool) -> Option<Self> {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let url = rt.block_on(roles::app_url())?;
        let superuser = rt.block_on(PgPool::connect(server()?.url())).unwrap();
        let mut filled = Self {
            rt,
            superuser,
            url,
            schema: fresh_name(),
            walled,
            browser: Browser::default(),
            contact: ContactId::from_bytes([0; 16]),
            conversation: ConversationId::from_bytes([0; 16]),
            others: Vec::new(),
            walks: Vec::new(),
            works: 0,
        };
        let pool = filled.pool();
        let (privet, _) = filled.open(&pool);
        let mut browser = Browser::default();
        {
            let _in = filled.rt.enter();
            browser.answer(&privet, &save(&["contacts"])).0.unwrap();
            browser.say(&privet, "the first of many");
            block_on(privet.flush()).unwrap();
            let first = block_on(privet.contacts(&Scope::default(), &PageRequest::first(2))).unwrap();
            filled.contact = first.contacts[0].id;
            let details = block_on(officer(&privet).contact(filled.contact)).unwrap();
            filled.conversation = details.conversations[0].id;
        }
        filled.browser = browser;
        let filling_pool = filled.pool_to(server()?.url());
        filled.rt.block_on(async {
            let mut filling = filling_pool.acquire().await.unwrap();
            for sql in FILL {
                let sql = sql.replace("privet.", &format!("\"{}\".", filled.schema));
                let sql = if sql == "ANALYZE" { analyze(&filled.schema) } else { sql };
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *filling).await.unwrap();
            }
            sqlx::raw_sql("DROP TABLE n").execute(&mut *filling).await.unwrap();
            let others = format!(
                "SELECT c.id, v.id FROM \"{0}\".contacts c JOIN \"{0}\".conversations v
                   ON v.tenant = c.tenant AND v.owner_kind = 1 AND v.owner = c.id
                 WHERE c.tenant = 'main' AND c.id <> $1 AND c.last_seen > 1799990000000 ORDER BY c.last_seen LIMIT 1000",
                filled.schema
            );
            let others = sqlx::query(AssertSqlSafe(others)).bind(filled.contact.as_bytes().to_vec());
            let read = |row: &sqlx::postgres::PgRow, at| row.get::<Vec<u8>, _>(at).try_into().unwrap();
            for row in others.fetch_all(&mut *filling).await.unwrap() {
                filled
                    .others
                    .push((ContactId::from_bytes(read(&row, 0)), ConversationId::from_bytes(read(&row, 1))));
            }
        });
        filled.rt.block_on(filling_pool.close());
        filled.closed(&pool);
        Some(filled)
    }

    /// One connection, so that every time is on the same one.
    fn pool(&self) -> PgPool {
        self.pool_to(&self.url)
    }

    pub(crate) fn pool_to(&self, url: &str) -> PgPool {
        let options = PgConnectOptions::from_str(url).unwrap().application_name(&self.schema);
        self.rt.block_on(PgPoolOptions::new().max_connections(1).connect_with(options)).unwrap()
    }

    fn open(&self, pool: &PgPool) -> (Privet, PostgresStore) {
        let _in = self.rt.enter();
        let options = PostgresOptions::from_pool(pool.clone()).schema(&self.schema);
        let options = if self.walled { options.row_security() } else { options };
        let storage = self.rt.block_on(options.storage(ring())).unwrap();
        let store = self.rt.block_on(options.store()).unwrap();
        (installation_on(storage, |b| b).0, store)
    }

    /// Ends the connections, and waits until the server has counted what they read.
    pub(crate) fn closed(&self, pool: &PgPool) {
        self.rt.block_on(async {
            pool.close().await;
            let began = Instant::now();
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            while sqlx::query(sql)
                .bind(&self.schema)
                .fetch_one(&self.superuser)
                .await
                .unwrap()
                .get::<i64, _>(0)
                > 0
            {
                assert!(began.elapsed() < Duration::from_secs(30), "its connections do not end");
            }
        });
    }

    /// By table, how many of its rows and entries were read, and how often an index was used.
    pub(crate) fn counted(&self) -> BTreeMap<String, (i64, i64)> {
        let sql = "SELECT t.relname::text, t.seq_tup_read + coalesce(i.read, 0)::bigint, coalesce(t.idx_scan, 0) FROM pg_stat_user_tables t
                   LEFT JOIN (SELECT relid, sum(idx_tup_read) AS read FROM pg_stat_user_indexes GROUP BY relid) AS i USING (relid)
                   WHERE t.schemaname = $1";
        let rows = self.rt.block_on(sqlx::query(sql).bind(&self.schema).fetch_all(&self.superuser)).unwrap();
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
    }

    /// Does a piece of work several times, and writes down which table it read through.
    pub(crate) fn work(&mut self, what: &str, mut work: impl FnMut(&mut On<'_>)) {
        let pool = self.pool();
        let (privet, store) = self.open(&pool);
        let before = self.counted();
        let mut browser = std::mem::take(&mut self.browser);
        {
            let _in = self.rt.enter();
            let olga = officer(&privet);
            let (contact, conversation) = (self.contact, self.conversation);
            for _ in 0..TIMES {
                let other = self.others.pop().unwrap();
                let browser = &mut browser;
                work(&mut On {
                    privet: &privet,
                    store: &store,
                    olga: &olga,
                    browser,
                    contact,
                    conversation,
                    other,
                });
            }
        }
        self.browser = browser;
        drop((privet, store));
        self.closed(&pool);
        let after = self.counted();
        let mut used = 0;
        for (table, (read, scans)) in &after {
            let (read_before, scans_before) = before.get(table).copied().unwrap_or_default();
            used += scans - scans_before;
            let walked = read - read_before;
            if walked > FEW * i64::from(TIMES) && !WALKS.contains(&(what, table)) {
                self.walks.push(format!("{what}: {walked} rows of `{table}`, {TIMES} times"));
            }
        }
        assert!(used >= i64::from(TIMES), "{what}: it asks nothing, or the server counts nothing");
        self.works += 1;
    }
}

fn analyze(schema: &str) -> String {
    let tables = [
        "contacts",
        "conversations",
        "messages",
        "consent_records",
        "consent_links",
        "fences",
        "outbox",
        "audit_events",
        "notes",
    ];
    tables.map(|table| format!("ANALYZE \"{schema}\".{table};")).concat()
}
