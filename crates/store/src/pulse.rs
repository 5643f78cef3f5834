use std::io;
use tokio::sync::watch;

/// Whether the database answers, as far as the last look at it found.
///
/// A server that is gone, hangs or cannot be reached makes every statement wait for its time limit, one after the other. So once a look
/// found no answer, whatever waits is given up and nothing else is begun until a later look finds one.
#[derive(Debug)]
pub(crate) struct Pulse {
    away: watch::Sender<bool>,
}

impl Default for Pulse {
    /// Nobody has looked yet: everything is tried.
    fn default() -> Self {
        Self { away: watch::Sender::new(false) }
    }
}

impl Pulse {
    pub(crate) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// What a look found.
    pub(crate) fn found(&self, away: bool) {
        self.away.send_if_modified(|known| std::mem::replace(known, away) != away);
    }

    /// Does something that needs an answer, unless the database is away or is found to be while this waits.
    pub(crate) async fn unless_away<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut watching = self.away.subscribe();
        let away = async move {
            // An error would mean that the sender is gone, which this borrows.
            drop(watching.wait_for(|away| *away).await);
        };
        tokio::select! {
            biased;
            () = away => Err(no_answer()),
            done = work => done,
        }
    }
}

pub(crate) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn nothing_is_begun_while_the_database_is_away_and_everything_afterwards() {
        let pulse = Pulse::default();
        assert_eq!(pulse.unless_away(ready(Ok(1))).await.unwrap(), 1);
        pulse.found(true);
        let begun = async { unreachable!("it is away") };
        assert!(pulse.unless_away::<()>(begun).await.is_err());
        pulse.found(false);
        assert_eq!(pulse.unless_away(ready(Ok(2))).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_waits_is_given_up_when_the_database_is_found_away() {
        let pulse = Pulse::default();
        let waiting = pulse.unless_away::<()>(pending());
        let found = async { pulse.found(true) };
        let (given_up, ()) = tokio::join!(waiting, found);
        assert!(given_up.is_err());
    }
}
