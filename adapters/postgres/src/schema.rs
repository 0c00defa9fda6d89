//! Own migrations, in a table of their own in the schema of the app's choice. A start that finds everything up to date tries
//! nothing that needs more rights than running does.

use privet::{Error, Result};
use sqlx::Row as _;

use crate::db::{Db, On, Twice, UnitResult, Whose, unit};
use crate::part::{Part, alone};
use crate::wall;

async fn version(on: &mut On<'_>, schema: &str, part: Part) -> UnitResult<usize> {
    let table = format!("\"{schema}\"._privet_migrations");
    let row = on.q("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(&mut *on.c).await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM privet._privet_migrations WHERE part = $1";
    let row = on.q(sql).bind(part.name).fetch_one(&mut *on.c).await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
}

async fn change(on: &mut On<'_>, schema: &str, part: Part) -> UnitResult<()> {
    alone(on).await?;
    let row = on
        .q("SELECT to_regnamespace($1) IS NOT NULL, CASE WHEN to_regnamespace($1) IS NULL
              THEN has_database_privilege(current_database(), 'CREATE') ELSE has_schema_privilege(to_regnamespace($1), 'CREATE') END")
        .bind(format!("\"{schema}\""))
        .fetch_one(&mut *on.c)
        .await?;
    let (there, may): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    // Somebody else may have done it while this one waited.
    let done = version(on, schema, part).await?;
    if done >= part.migrations.len() {
        return Ok(());
    }
    if !may {
        return Err(Error::config(
            format!("schema `{schema}`: the tables of the {} are not there or not up to date, and this role may not make them", part.name),
            "start once with a role that may, and grant the role that runs USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on its tables",
        )
        .into());
    }
    if !there {
        on.script(format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    on.script(
        "CREATE TABLE IF NOT EXISTS privet._privet_migrations
         (part TEXT COLLATE \"C\" NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (part, version))",
    )
    .await?;
    for (version, sql) in (1_i64..).zip(part.migrations).skip(done) {
        on.script(*sql).await?;
        let insert = on.q("INSERT INTO privet._privet_migrations (part, version) VALUES ($1, $2)");
        insert.bind(part.name).bind(version).execute(&mut *on.c).await?;
    }
    Ok(())
}

/// Brings the tables of a part up to date, all at once or not at all. Any number of instances may start together.
pub(crate) async fn migrate(db: &Db, part: Part) -> Result<()> {
    let db = &db.unhurried();
    let schema = db.schema();
    // In a transaction, so that it holds behind a pooler as well.
    let done = unit!(db, Whose::Installation, Twice::Harmless, on => version(on, schema, part))?;
    if done < part.migrations.len() {
        if db.as_it_is {
            return Err(Error::config(
                format!("schema `{schema}`: the tables of the {} are not there or not up to date", part.name),
                "start an app with this version of privet on it, which brings them up to date; with `as_it_is` nothing is changed",
            ));
        }
        unit!(db, Whose::Installation, Twice::Harmless, on => change(on, schema, part))?;
    }
    wall::check(db, part).await
}
