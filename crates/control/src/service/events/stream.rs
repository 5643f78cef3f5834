use super::EventFilter;
use super::latest::Place;
use crate::service::{Access, Caller, Core};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Event, Permission, Permissions, Secret};
use tokio::sync::mpsc::{OwnedPermit, Sender};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// What a stream says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// An event.
    Event(Box<Event>),
    /// Events are missing between these two numbers.
    Gap {
        /// The last that is known.
        after: u64,
        /// The last that is missing.
        until: u64,
    },
    /// Nothing has happened; events up to this number were looked at.
    Beat(u64),
    /// The end, and why.
    Goodbye(Goodbye),
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// Everything that is kept was told, and no more was asked for.
    Complete,
    /// The client reads too slowly.
    SlowReader,
    /// Its key or token is good no more.
    Unauthorized,
    /// The node stops.
    NodeStops,
}

impl Goodbye {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::SlowReader => "slow_reader",
            Self::Unauthorized => "unauthorized",
            Self::NodeStops => "node_stops",
        }
    }
}

/// Who tells one client.
pub(super) struct Follower {
    pub(super) core: Arc<Core>,
    pub(super) access: Access,
    pub(super) caller: Caller,
    pub(super) bearer: Secret,
    /// The number of the last event that was looked at.
    pub(super) position: u64,
    pub(super) filter: EventFilter,
    pub(super) follow: bool,
    pub(super) place: Place,
    pub(super) end: watch::Receiver<bool>,
}

/// Why a follower stops.
enum Stop {
    /// With a word to the client.
    Say(Goodbye),
    /// The client is gone.
    Gone,
}

impl Follower {
    pub(super) async fn run(mut self, sender: Sender<Told>) {
        // Kept for the last word, whatever waits before it.
        let Ok(last): Result<OwnedPermit<Told>, _> = sender.clone().reserve_owned().await else { return };
        let stop = self.tell(&sender).await;
        if let Stop::Say(goodbye) = stop {
            tracing::debug!(account = %self.caller.account_id(), reason = goodbye.as_str(), "a stream of events ends");
            last.send(Told::Goodbye(goodbye));
        }
    }

    async fn tell(&mut self, sender: &Sender<Told>) -> Stop {
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew_at = Instant::now() + LISTEN_AGAIN;
        loop {
            if let Err(stop) = self.catch_up(sender).await {
                return stop;
            }
            if !self.follow {
                return Stop::Say(Goodbye::Complete);
            }
            let position = self.position;
            let told = tokio::select! {
                biased;
                () = ended(&mut self.end) => return Stop::Say(Goodbye::NodeStops),
                () = sender.closed() => return Stop::Gone,
                _ = check.tick() => {
                    if !self.access.is_still_good(self.bearer.expose(), &self.caller, Permissions::of(&[Permission::Read])).await {
                        return Stop::Say(Goodbye::Unauthorized);
                    }
                    if Instant::now() >= renew_at {
                        renew_at = Instant::now() + LISTEN_AGAIN;
                        self.listen_again().await;
                    }
                    continue;
                }
                () = written(&mut self.place.latest, position) => continue,
                _ = beat.tick() => Told::Beat(position),
            };
            if let Err(stop) = say(sender, told).await {
                return stop;
            }
        }
    }

    /// Tells what is kept after the position, and moves it.
    async fn catch_up(&mut self, sender: &Sender<Told>) -> Result<(), Stop> {
        loop {
            let account = self.caller.account_id();
            let page = match self.core.store.events_after(account, self.position, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%error, %account, "events cannot be read; that is tried again");
                    // Who only wants what is kept must not take this for all of it, and waits.
                    tokio::select! {
                        () = ended(&mut self.end) => return Err(Stop::Say(Goodbye::NodeStops)),
                        () = sender.closed() => return Err(Stop::Gone),
                        () = sleep(RETRY_AFTER) => continue,
                    }
                }
            };
            let is_last = page.events.len() < PAGE as usize;
            for event in page.events {
                let until = event.sequence.saturating_sub(1);
                if until != self.position {
                    say(sender, Told::Gap { after: self.position, until }).await?;
                }
                self.position = event.sequence;
                if self.filter.matches(&event) {
                    say(sender, Told::Event(Box::new(event))).await?;
                }
            }
            if self.position != page.next {
                say(sender, Told::Gap { after: self.position, until: page.next }).await?;
                self.position = page.next;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn listen_again(&self) {
        if let Err(error) = self.core.store.listen(self.caller.account_id()).await {
            tracing::warn!(%error, "that somebody listens was not noted; it is tried again");
        }
    }
}

/// Waits for the end of all streams.
async fn ended(end: &mut watch::Receiver<bool>) {
    // Without a sender the node is gone, too.
    let _ = end.wait_for(|end| *end).await;
}

/// Waits for an event after this number.
async fn written(latest: &mut watch::Receiver<u64>, position: u64) {
    if latest.wait_for(|latest| *latest > position).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn say(sender: &Sender<Told>, told: Told) -> Result<(), Stop> {
    match timeout(SLOW_AFTER, sender.send(told)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Stop::Gone),
        Err(_) => Err(Stop::Say(Goodbye::SlowReader)),
    }
}

/// Events that are read at once.
const PAGE: u32 = 100;
/// How often something is said: proxies close what is silent for half a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a stream ends whose key was revoked.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How often it is noted that the account is listened to: that counts for days.
const LISTEN_AGAIN: Duration = Duration::from_secs(60 * 60);
/// How long a client may read nothing with its buffers full.
const SLOW_AFTER: Duration = Duration::from_secs(10);
/// How often a database that fails is asked.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_for_long_is_dropped_with_a_last_word() {
        let (sender, mut receiver) = mpsc::channel(2);
        let last = sender.clone().reserve_owned().await.unwrap();
        let begun = Instant::now();
        assert!(say(&sender, Told::Beat(1)).await.is_ok());
        assert!(matches!(say(&sender, Told::Beat(2)).await, Err(Stop::Say(Goodbye::SlowReader))));
        assert_eq!(begun.elapsed(), SLOW_AFTER);
        last.send(Told::Goodbye(Goodbye::SlowReader));
        assert_eq!(receiver.recv().await, Some(Told::Beat(1)));
        assert_eq!(receiver.recv().await, Some(Told::Goodbye(Goodbye::SlowReader)));
    }
}
