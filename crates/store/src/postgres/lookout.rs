use super::refusal_code;
use crate::pulse::{Pulse, no_answer};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions, Executor};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Looks at the server on a connection of its own, so that neither a pool that is used up nor a pool that tries again and again for
/// seconds is taken for a server that is away.
#[derive(Debug)]
pub(crate) struct Lookout {
    options: PgConnectOptions,
    pulse: Arc<Pulse>,
    connection: Mutex<Option<PgConnection>>,
}

impl Lookout {
    pub(crate) fn new(options: PgConnectOptions, pulse: Arc<Pulse>) -> Self {
        Self { options, pulse, connection: Mutex::default() }
    }

    /// Asks for one row, and keeps in mind whether there was an answer.
    pub(crate) async fn ask(&self, question: &'static str) -> Result<PgRow, sqlx::Error> {
        // Taken out: what is dropped on the way is closed, not used again in the middle of an answer.
        let mut place = self.connection.lock().await;
        let known = place.take();
        let looked = timeout(LOOK_DEADLINE, self.look(known, question)).await;
        let answer = looked.unwrap_or_else(|_| Err(no_answer())).map(|(connection, row)| {
            *place = Some(connection);
            row
        });
        self.pulse.found(answer.as_ref().is_err_and(is_silence));
        answer
    }

    async fn look(
        &self,
        known: Option<PgConnection>,
        question: &'static str,
    ) -> Result<(PgConnection, PgRow), sqlx::Error> {
        // A connection that the server has ended says nothing about the server: a new one does.
        if let Some(mut connection) = known
            && let Ok(row) = connection.fetch_one(question).await
        {
            return Ok((connection, row));
        }
        let mut connection = self.options.connect().await?;
        let row = connection.fetch_one(question).await?;
        Ok((connection, row))
    }

    pub(crate) async fn close(&self) {
        drop(self.connection.lock().await.take());
    }
}

/// Whether nobody answered; a refusal of a server that works is an answer.
fn is_silence(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        Some(refusal) => refusal_code(refusal).is_some_and(|code| super::AWAY.contains(&code)),
        None => matches!(error, sqlx::Error::Io(_)),
    }
}

/// How long the server may take to let us in and give one row, which is a millisecond or two when it is well. Beside the wait for the
/// next look it is what a request waits at most before it is told that the database is away.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);
