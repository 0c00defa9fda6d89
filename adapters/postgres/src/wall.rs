//! Row-level security by tenant: a second wall behind the conditions of each statement. A unit of work says whose it is when
//! its transaction begins, and the policies let it see and change rows of that tenant only.
//!
//! What the installation does for all tenants (which there are, what is marked, what is due) only looks: its policy is for
//! SELECT alone, so that no statement ever changes rows of two tenants.
//!
//! The setting is `privet_unit.tenant`: one that began with `privet.` would be taken for the schema.

use privet::{Error, Result, Scope, Tenant};
use sqlx::Row as _;

use crate::db::{Db, On, Twice, UnitResult, unit};
use crate::part::{self, Part};

/// On whose behalf a transaction runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    Tenant(&'a str),
    Installation,
}

impl<'a> From<&'a Tenant> for Whose<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        Self::Tenant(tenant.as_str())
    }
}

impl<'a> From<&'a Scope> for Whose<'a> {
    fn from(scope: &'a Scope) -> Self {
        Self::Tenant(scope.tenant.as_str())
    }
}

impl<'a> From<&'a str> for Whose<'a> {
    /// Keys of the installation have a tenant without a name.
    fn from(tenant: &'a str) -> Self {
        if tenant.is_empty() { Self::Installation } else { Self::Tenant(tenant) }
    }
}

impl Whose<'_> {
    /// What the policies compare with. No tenant has the installation's name, which has a star in it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant,
            Self::Installation => "*",
        }
    }

    /// A statement that begins a transaction on somebody's behalf, in one message: no round trip of its own.
    pub(crate) fn opening(&self, begin: &str) -> String {
        // A name has letters, digits, `.`, `_` and `-`; what else came here would still be inside the quotes.
        format!("{begin}; SET LOCAL privet_unit.tenant = '{}'", self.name().replace('\'', "''"))
    }
}

/// The tables of a part that have a tenant, with the partitions of each, that are not behind the wall as they should be.
const OPEN: &str = "
    SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p')
      AND (c.relname = ANY($2) OR EXISTS (
        SELECT 1 FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
        WHERE i.inhrelid = c.oid AND p.relnamespace = c.relnamespace AND p.relname = ANY($2)))
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    ORDER BY 1";

/// Those that let this role through all the same, or, asked the other way round, do not.
const BITTEN: &str = "
    SELECT count(*) FILTER (WHERE row_security_active(c.oid)), count(*) FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND c.relname = ANY($2)";

const MAY: &str = "
    SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY($2)";

/// Whether this database has Citus.
pub(crate) async fn has_citus(on: &mut On<'_>) -> UnitResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')";
    Ok(on.q(sql).fetch_one(&mut *on.c).await?.try_get(0)?)
}

/// The wall before one table, also for its owner, who is who runs in many a small installation.
pub(crate) async fn raise(on: &mut On<'_>, table: &str) -> UnitResult<()> {
    const SETTING: &str = "current_setting('privet_unit.tenant', true)";
    // Read once per statement, not per row; Citus takes no subquery in a policy.
    let now = if has_citus(on).await? { SETTING.to_owned() } else { format!("(SELECT {SETTING})") };
    // The installation's own keys are of no tenant; before a name is said the setting is null or empty.
    let (tenant, everybody) = if table == "keys" {
        (format!("CASE {now} WHEN '*' THEN '' WHEN '' THEN NULL ELSE {now} END"), None)
    } else {
        let everybody =
            format!("CREATE POLICY privet_installation ON privet.{table} FOR SELECT USING ({now} = '*')");
        (now, Some(everybody))
    };
    // One by one: Citus hands each on with all that came in its message.
    let all = [
        format!("DROP POLICY IF EXISTS privet_tenant ON privet.{table}"),
        format!("DROP POLICY IF EXISTS privet_installation ON privet.{table}"),
        format!("CREATE POLICY privet_tenant ON privet.{table} USING (tenant = {tenant})"),
    ];
    let force = format!("ALTER TABLE privet.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
    for sql in all.into_iter().chain(everybody).chain([force]) {
        on.script(sql).await?;
    }
    Ok(())
}

/// Whether new partitions of a table get the wall too.
pub(crate) async fn stands(on: &mut On<'_>, schema: &str, table: &str) -> UnitResult<bool> {
    let row = on
        .q("SELECT coalesce((SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass($1)), FALSE)")
        .bind(format!("\"{schema}\".{table}"))
        .fetch_one(&mut *on.c)
        .await?;
    Ok(row.try_get(0)?)
}

async fn bitten(on: &mut On<'_>, schema: &str, part: Part) -> UnitResult<(i64, i64)> {
    let query = on.q(BITTEN).bind(format!("\"{schema}\"")).bind(part.tables);
    let row = query.fetch_one(&mut *on.c).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn open(on: &mut On<'_>, schema: &str, part: Part) -> UnitResult<Vec<String>> {
    let query = on.q(OPEN).bind(format!("\"{schema}\"")).bind(part.tables);
    let rows = query.fetch_all(&mut *on.c).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?)
}

async fn raise_all(on: &mut On<'_>, schema: &str, part: Part) -> UnitResult<()> {
    part::alone(on).await?;
    let tables = open(on, schema, part).await?;
    if tables.is_empty() {
        return Ok(());
    }
    let row = on.q(MAY).bind(format!("\"{schema}\"")).bind(part.tables).fetch_one(&mut *on.c).await?;
    if !row.try_get::<Option<bool>, _>(0)?.unwrap_or(false) {
        return Err(Error::config(
            format!("schema `{schema}`: row-level security is not on for every table of the {}, and this role does not own them", part.name),
            "start once with `row_security()` as the role that owns the tables",
        )
        .into());
    }
    for table in tables {
        raise(on, &table).await?;
    }
    Ok(())
}

/// Raises the wall where it is asked for, and sees to it that it stands for this role; where it is not asked for, sees to it
/// that there is none, since nothing would be seen behind it.
pub(crate) async fn check(db: &Db, part: Part) -> Result<()> {
    let (schema, walled) = (db.schema(), db.sql.walled);
    if walled {
        let missing = unit!(db, Whose::Installation, Twice::Harmless, on => open(on, schema, part))?;
        if !missing.is_empty() && db.as_it_is {
            return Err(Error::config(
                format!(
                    "schema `{schema}`: row-level security is not on for every table of the {}",
                    part.name
                ),
                "leave `row_security()` away, or start an app with it first; with `as_it_is` nothing is changed",
            ));
        }
        if !missing.is_empty() {
            unit!(db, Whose::Installation, Twice::Harmless, on => raise_all(on, schema, part))?;
        }
    }
    let (bitten, all) = unit!(db, Whose::Installation, Twice::Harmless, on => bitten(on, schema, part))?;
    match (walled, bitten) {
        (true, n) if n < all => Err(Error::config(
            format!(
                "schema `{schema}`: this role passes by row-level security, so that `row_security()` would keep nothing from it"
            ),
            "run with a role that is no superuser and has no BYPASSRLS",
        )),
        (false, n) if n > 0 => Err(Error::config(
            format!(
                "schema `{schema}`: row-level security is on, and whoever does not say which tenant it is about sees nothing"
            ),
            "turn on `row_security()` in the options of every instance",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name() {
        assert_eq!(Whose::from("a-b").opening("BEGIN"), "BEGIN; SET LOCAL privet_unit.tenant = 'a-b'");
        assert_eq!(Whose::from("").name(), "*");
        assert!(Tenant::new("*").is_err(), "no tenant is taken for the installation");
        assert!(Whose::from("a'; x").opening("BEGIN").ends_with("'a''; x'"));
    }
}
