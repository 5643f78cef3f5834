//! Connections of which every statement has a deadline.
//!
//! The server ends a statement that takes too long, but a server that hangs, or a network that swallows everything, does not even say
//! so. Then the client's own deadline cuts the connection: it is closed at once and its place in the pool is free for another. So it
//! is when the [`Pulse`] stops meanwhile.

use super::PLAN_CHANGED;
use crate::pulse::{Pulse, no_answer};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, PgPool, Postgres, SqlStr};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A pool that gives out [`Session`]s. A reference to it runs a statement on any of them.
#[derive(Debug)]
pub(crate) struct Sessions {
    pool: PgPool,
    pulse: Arc<Pulse>,
}

/// A connection that is given back to its pool, or closed when it did not answer in time.
#[derive(Debug)]
pub(crate) struct Session {
    /// `None` once it was cut.
    connection: Option<PoolConnection<Postgres>>,
    pulse: Arc<Pulse>,
}

/// A transaction on a session; dropped without a commit it is rolled back.
#[derive(Debug)]
pub(crate) struct Transaction {
    session: Session,
    open: bool,
}

/// What a statement answers: how many rows it changed, and rows.
type Answer = Either<PgQueryResult, PgRow>;

impl Sessions {
    pub(crate) const fn new(pool: PgPool, pulse: Arc<Pulse>) -> Self {
        Self { pool, pulse }
    }

    /// Waits for a connection at most as long as the pool is told to.
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        let connection = self.pulse.unless_away(self.pool.acquire()).await?;
        Ok(Session { connection: Some(connection), pulse: Arc::clone(&self.pulse) })
    }

    /// Starts a transaction with statements of the caller's, the first of which is a `BEGIN`; they take one round trip.
    pub(crate) async fn begin(&self, statements: &'static str) -> Result<Transaction, sqlx::Error> {
        let session = self.session().await?;
        // Open from here: if a statement after the BEGIN fails, there is something to roll back.
        let mut transaction = Transaction { session, open: true };
        sqlx::raw_sql(statements).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Session {
    async fn answers<'q, E: Execute<'q, Postgres> + 'q>(&mut self, query: E) -> Result<Vec<Answer>, sqlx::Error> {
        let connection = self.connection.as_deref_mut().ok_or_else(no_answer)?;
        // Every list is bounded, so that its rows may as well be collected here.
        let answers = soon(&self.pulse, connection.fetch_many(query).try_collect()).await;
        self.settle(answers)
    }

    fn settle<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.as_ref().is_err_and(spoils_the_connection) {
            self.cut();
        }
        result
    }

    /// Closes the socket, without a word to the server: it may not be listening.
    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// As `PoolConnection` does it, which asks whether the connection still works and keeps its place in the pool until it answers; but
/// not for longer than [`PING_DEADLINE`].
impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let returned = connection.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(PING_DEADLINE, returned));
        }
    }
}

impl Transaction {
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut self.session).await?;
        self.open = false;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.session).await?;
        self.open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.open || self.session.connection.is_none() {
            return;
        }
        let closed = Session { connection: None, pulse: Arc::clone(&self.session.pulse) };
        let mut session = mem::replace(&mut self.session, closed);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if sqlx::raw_sql("ROLLBACK").execute(&mut session).await.is_err() {
                    session.cut();
                }
            })),
            // The server rolls back what it has of a closed connection.
            Err(_) => session.cut(),
        }
    }
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.answers(query).map_ok(each).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.answers(query).map_ok(first_row).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let connection = self.connection.as_deref_mut().ok_or_else(no_answer)?;
            let prepared = soon(&self.pulse, connection.prepare_with(sql, parameters)).await;
            self.settle(prepared)
        }
        .boxed()
    }
}

impl<'c> Executor<'c> for &'c Sessions {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { self.session().await?.answers(query).await }.map_ok(each).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { self.session().await?.answers(query).await.map(first_row) }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move { self.session().await?.prepare_with(sql, parameters).await }.boxed()
    }
}

/// Waits for an answer until the deadline, and no longer than the server is known to answer.
async fn soon<T>(pulse: &Pulse, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STATEMENT_DEADLINE, pulse.unless_away(asked)).await.unwrap_or_else(|_| Err(no_answer()))
}

fn each(answers: Vec<Answer>) -> impl stream::Stream<Item = Result<Answer, sqlx::Error>> {
    stream::iter(answers.into_iter().map(Ok))
}

fn first_row(answers: Vec<Answer>) -> Option<PgRow> {
    answers.into_iter().find_map(Either::right)
}

/// Whether a connection is of no more use after an error.
fn spoils_the_connection(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        // It would never again run the statements that it prepared before.
        Some(refusal) => refusal.code().is_some_and(|code| code == PLAN_CHANGED),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)),
    }
}

/// How long the server may work on one statement. A batch takes milliseconds, a list far down an account's calls a second.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// When a statement is given up whatever the server says: a little after the server would have said that it took too long.
pub(crate) const STATEMENT_DEADLINE: Duration = Duration::from_secs(6);
/// How long a connection may take to show that it is alive: one round trip.
pub(crate) const PING_DEADLINE: Duration = Duration::from_secs(1);
