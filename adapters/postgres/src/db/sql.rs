//! Statements on their way to a connection.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, SqlSafeStr as _, SqlStr};

/// What SQL becomes on its way: the name of the schema, and whether a statement may stay prepared.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    /// None while it is the one that the SQL names.
    pub(super) schema: Option<Arc<str>>,
    pub(super) persistent: bool,
    /// Whether each transaction says whose it is.
    pub(crate) walled: bool,
}

impl Sql {
    fn put(&self, sql: Cow<'static, str>) -> SqlStr {
        match (&self.schema, sql) {
            (None, Cow::Borrowed(sql)) => sql.into_sql_str(),
            (None, Cow::Owned(sql)) => AssertSqlSafe(sql).into_sql_str(),
            // The name was checked: letters, digits and underscores.
            (Some(schema), sql) => {
                AssertSqlSafe(sql.replace("privet.", &format!("\"{schema}\"."))).into_sql_str()
            }
        }
    }

    fn query(&self, sql: impl Into<Cow<'static, str>>) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(self.put(sql.into())).persistent(self.persistent)
    }
}

/// A connection to run statements on, in a transaction or not.
pub(crate) struct On<'c> {
    pub(crate) c: &'c mut PgConnection,
    pub(crate) sql: &'c Sql,
}

impl On<'_> {
    /// A statement; `privet.` in it stands for the schema. It is put together from constants only: values are bound.
    pub(crate) fn q(&self, sql: impl Into<Cow<'static, str>>) -> Query<'static, Postgres, PgArguments> {
        self.sql.query(sql)
    }

    /// Several statements without values.
    pub(crate) async fn script(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(self.sql.put(sql.into())).execute(&mut *self.c).await.map(drop)
    }
}
