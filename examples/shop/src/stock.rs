//! The stock and its orders, in SQLite.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};
use tokio::task::spawn_blocking;

use crate::orders::{Receipt, Refused};

/// A database, which outlives the nodes that use it. Clones share it.
#[derive(Debug, Clone)]
pub struct Stock(Arc<Mutex<Connection>>);

impl Stock {
    /// Creates a database in memory with this many pieces of each of the items.
    ///
    /// # Errors
    ///
    /// Returns the error of SQLite.
    pub fn in_memory(items: &[(&str, u32)]) -> rusqlite::Result<Self> {
        let database = Connection::open_in_memory()?;
        database.execute_batch(
            "CREATE TABLE items (name TEXT PRIMARY KEY, pieces INTEGER NOT NULL CHECK (pieces >= 0));
             CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT NOT NULL, place INTEGER NOT NULL);",
        )?;
        for (name, pieces) in items {
            database.execute("INSERT INTO items VALUES (?1, ?2)", (name, pieces))?;
        }
        Ok(Stock(Arc::new(Mutex::new(database))))
    }

    /// Sells a piece of an item, unless the order was executed before. Returns its receipt.
    ///
    /// # Errors
    ///
    /// Returns why the order cannot be executed, or the error of SQLite.
    pub async fn sell(
        &self,
        id: String,
        item: String,
    ) -> rusqlite::Result<Result<Receipt, Refused>> {
        self.run(move |database| {
            let transaction = database.transaction()?;
            let find = "SELECT place FROM orders WHERE id = ?1";
            let known = transaction.query_row(find, [&id], |row| row.get(0)).optional()?;
            if let Some(place) = known {
                return Ok(Ok(Receipt { id, place }));
            }
            let take = "UPDATE items SET pieces = pieces - 1 WHERE name = ?1 AND pieces > 0";
            if transaction.execute(take, [&item])? == 0 {
                return Ok(Err(Refused { item }));
            }
            let count = "SELECT count(*) + 1 FROM orders";
            let place = transaction.query_row(count, [], |row| row.get(0))?;
            transaction.execute("INSERT INTO orders VALUES (?1, ?2, ?3)", (&id, &item, place))?;
            transaction.commit()?;
            Ok(Ok(Receipt { id, place }))
        })
        .await
    }

    /// Returns the number of orders, and the number of pieces that are left.
    ///
    /// # Errors
    ///
    /// Returns the error of SQLite.
    pub async fn totals(&self) -> rusqlite::Result<(u32, u32)> {
        self.run(|database| {
            let totals = "SELECT (SELECT count(*) FROM orders), (SELECT sum(pieces) FROM items)";
            database.query_row(totals, [], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
    }

    /// Runs a function on the database, on a thread for blocking work. If its caller is gone, it runs nevertheless.
    async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let database = Arc::clone(&self.0);
        let work = move || act(&mut database.lock().unwrap_or_else(PoisonError::into_inner));
        match spawn_blocking(work).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
