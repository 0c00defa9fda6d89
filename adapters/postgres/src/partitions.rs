//! Months of messages that are over for every tenant: a partition is dropped as a whole, which costs as much as one row.

use privet::{Result, Tenant, Timestamp};
use sqlx::Row as _;

use crate::db::{Db, On, Twice, UnitResult, Whose, unit};

/// Whoever writes waits behind this at most so long; a month that is in use is left to the next sweep. A partition cannot be
/// detached concurrently where there is a default one.
const BRIEFLY: &str = "SET LOCAL lock_timeout = '500ms'";

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

/// Drops a month, unless it has a message of a tenant whose horizon nobody asked for. How many messages went.
async fn drop_month(on: &mut On<'_>, name: &str, tenants: &[&str]) -> UnitResult<u64> {
    on.script(BRIEFLY).await?;
    // Nobody writes into it from here on; the other months go on until the very end.
    on.script(format!("LOCK TABLE privet.{name} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let row = on
        .q(format!("SELECT count(*), count(*) FILTER (WHERE tenant <> ALL($1)) FROM privet.{name}"))
        .bind(tenants.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
        .fetch_one(&mut *on.c)
        .await?;
    let (all, of_others): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if of_others > 0 {
        return Ok(0);
    }
    on.script(format!("DROP TABLE privet.{name}")).await?;
    Ok(all.unsigned_abs())
}

pub(crate) async fn drop_months(db: &Db, before: Timestamp, tenants: &[Tenant]) -> Result<u64> {
    let (schema, mut gone) = (db.schema(), 0);
    let tenants: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
    let before = before.as_millis();
    for name in unit!(db, Whose::Installation, Twice::Harmless, on => over(on, schema, before))? {
        match unit!(db, Whose::Installation, Twice::Never, on => drop_month(on, &name, &tenants)) {
            Ok(count) => gone += count,
            Err(error) => {
                tracing::warn!(
                    "a month of messages was not dropped as a whole, and goes row by row: {error}"
                );
            }
        }
    }
    Ok(gone)
}
