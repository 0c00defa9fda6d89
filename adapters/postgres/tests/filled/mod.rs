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
use privet_test_postgres::{fresh_name, own_server};
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
    "DROP TABLE n",
];

/// A schema that was filled, an app on it, and who looks at what is read.
pub(crate) struct Filled {
    pub(crate) rt: Runtime,
    superuser: PgPool,
    pub(crate) schema: String,
    /// One connection, so that every time is on the same one.
    pool: PgPool,
    privet: Privet,
    store: PostgresStore,
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
        let schema = fresh_name();
        let superuser = rt.block_on(PgPool::connect(own_server()?.url())).unwrap();
        let pool = named_pool(&rt, &url, &schema);
        let options = PostgresOptions::from_pool(pool.clone()).schema(&schema);
        let options = if walled { options.row_security() } else { options };
        let (mut browser, entered) = (Browser::default(), rt.enter());
        let storage = rt.block_on(options.storage(KeyRing::generate().unwrap())).unwrap();
        let store = rt.block_on(options.store()).unwrap();
        let (privet, _) = installation_on(storage, |b| b);
        browser.answer(&privet, &save(&["contacts"])).0.unwrap();
        browser.say(&privet, "the first of many");
        block_on(privet.flush()).unwrap();
        let contact =
            block_on(privet.contacts(&Scope::default(), &PageRequest::first(2))).unwrap().contacts[0].id;
        let conversation = block_on(officer(&privet).contact(contact)).unwrap().conversations[0].id;
        drop(entered);
        let (others, walks, works) = (Vec::new(), Vec::new(), 0);
        let mut filled = Self {
            rt,
            superuser,
            schema,
            pool,
            privet,
            store,
            browser,
            contact,
            conversation,
            others,
            walks,
            works,
        };
        filled.fill();
        Some(filled)
    }

    fn fill(&mut self) {
        let pool = self.superusers();
        let others = format!(
            "SELECT c.id, v.id FROM \"{0}\".contacts c JOIN \"{0}\".conversations v
               ON v.tenant = c.tenant AND v.owner_kind = 1 AND v.owner = c.id
             WHERE c.tenant = 'main' AND c.id <> $1 AND c.last_seen > 1799990000000 ORDER BY c.last_seen LIMIT 1000",
            self.schema
        );
        let rows = self.rt.block_on(async {
            // Its plans are those of the figures that are made here.
            let quiet = format!(
                "DO $$ DECLARE t regclass; BEGIN
                   FOR t IN SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace('{0}') AND relkind = 'r' LOOP
                     EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
                   END LOOP;
                 END $$",
                self.schema
            );
            sqlx::raw_sql(AssertSqlSafe(quiet)).execute(&pool).await.unwrap();
            for sql in FILL {
                let sql = sql.replace("privet.", &format!("\"{}\".", self.schema));
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
            }
            let others = sqlx::query(AssertSqlSafe(others)).bind(self.contact.as_bytes().to_vec());
            others.fetch_all(&pool).await.unwrap()
        });
        let id = |row: &sqlx::postgres::PgRow, at| row.get::<Vec<u8>, _>(at).try_into().unwrap();
        let both = |row| (ContactId::from_bytes(id(row, 0)), ConversationId::from_bytes(id(row, 1)));
        self.others = rows.iter().map(both).collect();
        self.rt.block_on(pool.close());
        self.analyze();
    }

    /// One connection of a role that passes by every wall, counted with the others of this schema.
    pub(crate) fn superusers(&self) -> PgPool {
        named_pool(&self.rt, own_server().unwrap().url(), &self.schema)
    }

    /// Makes the figures that plans are made with, of what is there now.
    pub(crate) fn analyze(&self) {
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
        let sql = tables.map(|table| format!("ANALYZE \"{}\".{table};", self.schema)).concat();
        self.rt.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.superuser)).unwrap();
        self.settled();
    }

    /// Ends the connection of the app, and waits until the server has counted what all of this schema read.
    pub(crate) fn settled(&self) {
        self.rt.block_on(async {
            self.pool.acquire().await.unwrap().close().await.unwrap();
            let began = Instant::now();
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            let left = || sqlx::query(sql).bind(&self.schema).fetch_one(&self.superuser);
            while left().await.unwrap().get::<i64, _>(0) > 0 {
                assert!(began.elapsed() < Duration::from_secs(30), "its connections do not end");
            }
        });
    }

    /// By table, how many of its rows and entries were read, and how often it was looked at.
    pub(crate) fn counted(&self) -> BTreeMap<String, (i64, i64)> {
        let sql = "SELECT t.relname::text, t.seq_tup_read + coalesce(i.read, 0)::bigint, coalesce(t.idx_scan, 0) + t.seq_scan FROM pg_stat_user_tables t
                   LEFT JOIN (SELECT relid, sum(idx_tup_read) AS read FROM pg_stat_user_indexes GROUP BY relid) AS i USING (relid)
                   WHERE t.schemaname = $1";
        let rows = self.rt.block_on(sqlx::query(sql).bind(&self.schema).fetch_all(&self.superuser)).unwrap();
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
    }

    /// Does a piece of work several times, and writes down which table it read through.
    pub(crate) fn work(&mut self, what: &str, mut work: impl FnMut(&mut On<'_>)) {
        let before = self.counted();
        {
            let _in = self.rt.enter();
            let olga = officer(&self.privet);
            for _ in 0..TIMES {
                work(&mut On {
                    privet: &self.privet,
                    store: &self.store,
                    olga: &olga,
                    browser: &mut self.browser,
                    contact: self.contact,
                    conversation: self.conversation,
                    other: self.others.pop().unwrap(),
                });
            }
        }
        self.settled();
        let mut used = 0;
        for (table, (read, scans)) in &self.counted() {
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

fn named_pool(rt: &Runtime, url: &str, name: &str) -> PgPool {
    let options = PgConnectOptions::from_str(url).unwrap().application_name(name);
    rt.block_on(PgPoolOptions::new().max_connections(1).connect_with(options)).unwrap()
}
