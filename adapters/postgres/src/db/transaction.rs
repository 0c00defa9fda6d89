//! What a unit of work runs in, and how that ends.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::pooled::Pooled;
use super::{Db, UnitResult};
use crate::error::UnitError;

/// A transaction on a connection of the pool.
pub(crate) struct Transaction(Pooled);

impl Transaction {
    pub(super) fn open(connection: PoolConnection<Postgres>) -> Self {
        Self(Pooled::new(connection))
    }

    async fn end(&mut self, how: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(how).execute(&mut *self.0).await?;
        self.0.settled(true);
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Where one statement runs.
pub(crate) enum Place {
    Alone(Pooled),
    Inside(Transaction),
}

impl Deref for Place {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Alone(alone) => alone,
            Self::Inside(transaction) => transaction,
        }
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Alone(alone) => alone,
            Self::Inside(transaction) => transaction,
        }
    }
}

/// Where work is done, and how that ends.
pub(crate) trait Opened: DerefMut<Target = PgConnection> + Send {
    fn close<T: Send>(self, db: &Db, worked: UnitResult<T>) -> impl Future<Output = UnitResult<T>> + Send;
}

impl Opened for Transaction {
    /// Commits what worked, and leaves what did not.
    async fn close<T: Send>(mut self, db: &Db, worked: UnitResult<T>) -> UnitResult<T> {
        match worked {
            Ok(value) => match db.watched(async { Ok(self.end("COMMIT").await?) }).await {
                Ok(()) => Ok(value),
                Err(UnitError::Sql(error)) => Err(UnitError::Commit(error)),
                Err(error) => Err(error),
            },
            Err(error) => {
                // A connection that is gone rolls back by itself, and so does one that is closed.
                if error.leaves_the_connection() {
                    let _ = db.watched(async { Ok(self.end("ROLLBACK").await?) }).await;
                }
                Err(error)
            }
        }
    }
}

impl Opened for Place {
    /// Nothing was written. A connection that failed is not used again.
    async fn close<T: Send>(mut self, db: &Db, worked: UnitResult<T>) -> UnitResult<T> {
        match (&mut self, &worked) {
            (Self::Alone(alone), Ok(_)) => alone.settled(true),
            (Self::Alone(alone), Err(error)) => alone.settled(error.leaves_the_connection()),
            (Self::Inside(transaction), Ok(_)) => {
                let _ = db.watched(async { Ok(transaction.end("COMMIT").await?) }).await;
            }
            _ => {}
        }
        worked
    }
}
