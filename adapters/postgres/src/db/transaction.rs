//! What a unit of work runs in, and how that ends.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::{Db, UnitResult};
use crate::error::UnitError;

/// A transaction on a connection of the pool. One that is dropped in the middle, since the visitor went away, takes its connection
/// along: it would go back to the pool with the transaction open, for whoever comes next, who may be the app itself.
pub(crate) struct Transaction {
    connection: PoolConnection<Postgres>,
    open: bool,
}

impl Transaction {
    pub(super) fn open(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, open: true }
    }

    async fn end(&mut self, how: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(how).execute(&mut *self.connection).await?;
        self.open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}

/// A connection for one statement. One that is dropped before its answer came is not used again: whoever gave up did so, perhaps,
/// since there is nobody at the other end.
pub(crate) struct Alone {
    connection: PoolConnection<Postgres>,
    answered: bool,
}

impl Alone {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, answered: false }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.close_on_drop();
        }
    }
}

/// Where one statement runs.
pub(crate) enum Place {
    Alone(Alone),
    Inside(Transaction),
}

impl Deref for Place {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Alone(alone) => &alone.connection,
            Self::Inside(transaction) => transaction,
        }
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Alone(alone) => &mut alone.connection,
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
            (Self::Alone(alone), worked) => {
                alone.answered = match worked {
                    Ok(_) => true,
                    Err(error) => error.leaves_the_connection(),
                };
            }
            (Self::Inside(transaction), Ok(_)) => {
                let _ = db.watched(async { Ok(transaction.end("COMMIT").await?) }).await;
            }
            _ => {}
        }
        worked
    }
}
