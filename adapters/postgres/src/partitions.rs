//! Messages by month: the partitions of the months to come are made ahead, and a month that is over for every tenant is dropped
//! as a whole, which costs as much as one row.

use std::collections::HashSet;
use std::time::Duration;

use privet::store::{Horizon, Lease};
use privet::{Error, Result, Tenant};
use sqlx::Row as _;

use crate::db::{Db, On, Twice, UnitResult, Whose, unit};
use crate::store::lease;
use crate::{part, wall};

/// Whoever reads and writes waits behind a change at most so long; what is in use is left to the next time. A partition
/// cannot be detached concurrently where there is a default one.
const BRIEFLY: &str = "SET LOCAL lock_timeout = '500ms'";

/// How often a promise is tried to be taken back, and the pause in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How many months ahead, this one included, have a partition for their messages.
const MONTHS: i32 = 3;

/// The months that have no partition, where this role may make them, as names and bounds, and whether it is this month.
const MISSING: &str = "
    SELECT m.name, m.low, m.high, m.ahead = 0 FROM (
        SELECT 'messages_' || to_char(month, 'YYYY_MM') AS name,
               (extract(epoch FROM month) * 1000)::bigint AS low,
               (extract(epoch FROM month + interval '1 month') * 1000)::bigint AS high, ahead
        FROM generate_series(0, $2 - 1) AS ahead,
             LATERAL (SELECT date_trunc('month', to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC') + ahead * interval '1 month' AS month) AS months
    ) AS m
    WHERE NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($3 || '.' || m.name))
      AND has_schema_privilege(to_regnamespace($3), 'CREATE')
      AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = to_regclass($3 || '.messages')), 'USAGE')
    ORDER BY m.ahead";

/// A month without a partition.
struct Month {
    name: String,
    low: i64,
    high: i64,
    is_now: bool,
}

async fn missing(on: &mut On<'_>, schema: &str, now: i64) -> UnitResult<Vec<Month>> {
    let query = on.q(MISSING).bind(now).bind(MONTHS).bind(format!("\"{schema}\""));
    let rows = query.fetch_all(&mut *on.c).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(Month {
            name: row.try_get(0)?,
            low: row.try_get(1)?,
            high: row.try_get(2)?,
            is_now: row.try_get(3)?,
        })
    };
    Ok(rows.iter().map(read).collect::<std::result::Result<_, sqlx::Error>>()?)
}

/// Where a month stands with the default partition, which takes what has none.
enum Default {
    /// It has no message at all: there is nothing to look through.
    Empty,
    /// It has messages, of this month perhaps: they stay there, since nobody could write while they were moved.
    InUse,
    /// It has messages, and what comes with the time of this month is still to come.
    Earlier,
}

async fn default_of(on: &mut On<'_>, month: &Month) -> UnitResult<Default> {
    let row = on
        .q("SELECT EXISTS (SELECT 1 FROM privet.messages_default),
                   EXISTS (SELECT 1 FROM privet.messages_default WHERE at >= $1 AND at < $2)")
        .bind(month.low)
        .bind(month.high)
        .fetch_one(&mut *on.c)
        .await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (false, _) => Default::Empty,
        (true, false) if !month.is_now => Default::Earlier,
        (true, _) => Default::InUse,
    })
}

/// The default partition promises to have nothing of a month, which spares the look through it under a lock that keeps everybody
/// out.
fn promise(month: &Month) -> String {
    format!("only_before_{}", month.name)
}

/// Whether the promise is there, and is proven.
async fn promise_of(on: &mut On<'_>, schema: &str, month: &Month) -> UnitResult<Option<bool>> {
    let found = on
        .q("SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2")
        .bind(format!("\"{schema}\".messages_default"))
        .bind(promise(month))
        .fetch_optional(&mut *on.c)
        .await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// The promise, for what is written from now on. False if it is another's, who may be about it, and further.
async fn promised(on: &mut On<'_>, schema: &str, month: &Month) -> UnitResult<bool> {
    part::alone(on).await?;
    if promise_of(on, schema, month).await?.is_some() {
        return Ok(false);
    }
    on.script(BRIEFLY).await?;
    let (name, Month { low, high, .. }) = (promise(month), month);
    on.script(format!(
        "ALTER TABLE privet.messages_default ADD CONSTRAINT {name} CHECK (at < {low} OR at >= {high}) NOT VALID"
    ))
    .await?;
    Ok(true)
}

/// And for what is there. It reads all of it, and keeps nobody from reading and writing meanwhile.
async fn proven(on: &mut On<'_>, schema: &str, month: &Month) -> UnitResult<()> {
    match promise_of(on, schema, month).await? {
        Some(false) => {
            let name = promise(month);
            let validate = format!("ALTER TABLE privet.messages_default VALIDATE CONSTRAINT {name}");
            Ok(on.script(validate).await?)
        }
        // Proven, or taken back since the month has its partition.
        _ => Ok(()),
    }
}

async fn taken_back(on: &mut On<'_>, schema: &str, month: &Month) -> UnitResult<()> {
    if promise_of(on, schema, month).await?.is_none() {
        return Ok(());
    }
    on.script(BRIEFLY).await?;
    let name = promise(month);
    Ok(on.script(format!("ALTER TABLE privet.messages_default DROP CONSTRAINT IF EXISTS {name}")).await?)
}

/// Made apart and attached: for that moment nobody else uses the default partition.
async fn attached(on: &mut On<'_>, schema: &str, now: i64, month: &Month, unused: bool) -> UnitResult<()> {
    part::alone(on).await?;
    on.script(BRIEFLY).await?;
    // Somebody else may have made it meanwhile.
    if missing(on, schema, now).await?.iter().any(|m| m.name == month.name) {
        // Another instance may have taken the promise back meanwhile, and not made it.
        if !unused && promise_of(on, schema, month).await? != Some(true) {
            return Err(Error::Conflict { what: "the default partition" }.into());
        }
        let walled = wall::stands(on, schema, "messages").await?;
        let Month { name, low, high, .. } = month;
        on.script(format!("CREATE TABLE IF NOT EXISTS privet.{name} (LIKE privet.messages INCLUDING ALL)"))
            .await?;
        if walled {
            wall::raise(on, name).await?;
        }
        on.script(format!(
            "ALTER TABLE privet.messages ATTACH PARTITION privet.{name} FOR VALUES FROM ({low}) TO ({high})"
        ))
        .await?;
    }
    taken_back(on, schema, month).await
}

/// Makes the partition of a month. False when its messages go on to the default one.
async fn make(db: &Db, schema: &str, now: i64, month: &Month) -> Result<bool> {
    let unused = match unit!(db, Whose::Installation, Twice::Harmless, on => default_of(on, month))? {
        Default::InUse => {
            // What a promise that was left behind refuses has nowhere else to go.
            take_back(db, schema, month).await?;
            return Ok(false);
        }
        Default::Empty => true,
        Default::Earlier => false,
    };
    let mut ours = false;
    let made = async {
        if !unused {
            // In doubt it is: a promise without a maker would refuse messages.
            ours = true;
            ours = unit!(db, Whose::Installation, Twice::Never, on => promised(on, schema, month))?;
            unit!(db, Whose::Installation, Twice::Harmless, on => proven(on, schema, month))?;
        }
        unit!(db, Whose::Installation, Twice::Harmless, on => attached(on, schema, now, month, unused))
    };
    let made = made.await;
    // Another's is theirs to take back: they may be proving it.
    if made.is_err() && ours {
        take_back(db, schema, month).await?;
    }
    made.map(|()| true)
}

/// A promise without a partition would refuse the messages of its month, once that is there. Whoever reads the messages at this
/// moment, as an export does, is waited for a little; after that the next start or sweep of a role that owns the tables does it.
async fn take_back(db: &Db, schema: &str, month: &Month) -> Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        let done = unit!(db, Whose::Installation, Twice::Harmless, on => taken_back(on, schema, month));
        if done.is_ok() || tries == TRIES {
            return done;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes the partitions of the months to come, where this role may. Where it may not, or the default partition has messages
/// of such a month, they go on to the default one: it is no failure. One that cannot be made does not keep the others from it;
/// false then.
pub(crate) async fn make_months(db: &Db, now: i64) -> Result<bool> {
    let db = &db.unhurried();
    let (schema, mut all) = (db.schema(), true);
    for month in unit!(db, Whose::Installation, Twice::Harmless, on => missing(on, schema, now))? {
        if let Err(error) = make(db, schema, now, &month).await {
            all = false;
            tracing::warn!(
                "a month has no partition for its messages yet, and they go to the default one, or are refused if that was promised away; it is tried again in ten minutes: {error}"
            );
        }
    }
    Ok(all)
}

/// The months that end by `$2`, by their own bounds, where this role owns them.
const OVER: &str = "
    SELECT m.name FROM (
      SELECT c.relname::text AS name,
             substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''(-?[0-9]+)''\\)')::bigint AS high
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
      WHERE i.inhparent = to_regclass($1 || '.messages') AND c.relnamespace = p.relnamespace
        AND c.relname ~ '^messages_[0-9]{4}_[0-9]{2}$'
        AND pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.relowner, 'USAGE')
    ) AS m WHERE m.high <= $2 ORDER BY m.high";

async fn over(on: &mut On<'_>, schema: &str, before: i64) -> UnitResult<Vec<String>> {
    let query = on.q(OVER).bind(format!("\"{schema}\"")).bind(before);
    let rows = query.fetch_all(&mut *on.c).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?)
}

/// Whether a month has a message of a tenant whose horizon nobody asked for: looks at one message of each tenant.
async fn has_others(on: &mut On<'_>, name: &str, tenants: &[&str]) -> UnitResult<bool> {
    if wall::has_citus(on).await? {
        return has_others_somewhere(on, name, tenants).await;
    }
    let row = on
        .q(format!(
            "WITH RECURSIVE t (tenant) AS (
               SELECT min(tenant) FROM privet.{name}
               UNION ALL
               SELECT (SELECT min(m.tenant) FROM privet.{name} m WHERE m.tenant > t.tenant) FROM t WHERE t.tenant IS NOT NULL)
             SELECT EXISTS (SELECT 1 FROM t WHERE tenant IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unnest($1::text[]) AS o (tenant) WHERE o.tenant = t.tenant))"
        ))
        .bind(tenants.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
        .fetch_one(&mut *on.c)
        .await?;
    Ok(row.try_get(0)?)
}

/// The same on several nodes, which have no recursion over tenants: a statement for each.
async fn has_others_somewhere(on: &mut On<'_>, name: &str, tenants: &[&str]) -> UnitResult<bool> {
    let tenants: HashSet<&str> = tenants.iter().copied().collect();
    let mut last = String::new();
    loop {
        let row = on
            .q(format!("SELECT min(tenant) FROM privet.{name} WHERE tenant > $1"))
            .bind(last)
            .fetch_one(&mut *on.c)
            .await?;
        match row.try_get::<Option<String>, _>(0)? {
            None => return Ok(false),
            Some(next) if !tenants.contains(next.as_str()) => return Ok(true),
            Some(next) => last = next,
        }
    }
}

/// How many messages a month has; none when somebody else has one. Takes its time, and keeps nobody waiting.
async fn count(on: &mut On<'_>, name: &str, tenants: &[&str]) -> UnitResult<Option<u64>> {
    if has_others(on, name, tenants).await? {
        return Ok(None);
    }
    let row = on.q(format!("SELECT count(*) FROM privet.{name}")).fetch_one(&mut *on.c).await?;
    Ok(Some(row.try_get::<i64, _>(0)?.unsigned_abs()))
}

/// Drops a month, unless somebody else has a message in it by now.
async fn drop_month(on: &mut On<'_>, name: &str, tenants: &[&str], under: Option<Lease>) -> UnitResult<bool> {
    lease::check(on, under).await?;
    on.script(BRIEFLY).await?;
    // What the drop needs, before the look: nobody writes in between. In the order in which a statement over all months has
    // them, so that neither waits for the other.
    on.script(format!("LOCK TABLE ONLY privet.messages, privet.{name} IN ACCESS EXCLUSIVE MODE")).await?;
    // Everybody waits now, and a look takes its time where many rows were deleted one by one and are still there.
    on.script("SET LOCAL statement_timeout = '500ms'").await?;
    if has_others(on, name, tenants).await? {
        return Ok(false);
    }
    on.script("SET LOCAL statement_timeout = 0").await?;
    on.script(format!("DROP TABLE privet.{name}")).await?;
    Ok(true)
}

pub(crate) async fn drop_months(db: &Db, horizon: &Horizon, tenants: &[Tenant]) -> Result<u64> {
    if db.as_it_is {
        return Ok(0);
    }
    let db = &db.unhurried();
    let (schema, mut gone) = (db.schema(), 0);
    let tenants: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
    let before = horizon.messages.as_millis();
    for name in unit!(db, Whose::Installation, Twice::Harmless, on => over(on, schema, before))? {
        let Some(count) = unit!(db, Whose::Installation, Twice::Harmless, on => count(on, &name, &tenants))?
        else {
            continue;
        };
        match unit!(db, Whose::Installation, Twice::Never, on => drop_month(on, &name, &tenants, horizon.lease))
        {
            Ok(true) => gone += count,
            Ok(false) => {}
            Err(error) if Lease::is_lost(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    "a month of messages was not dropped as a whole, and goes row by row: {error}"
                );
            }
        }
    }
    Ok(gone)
}
