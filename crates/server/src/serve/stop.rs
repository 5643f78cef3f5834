use crate::runtime::{Admission, MediaHandle, ShardCommand, ShardHandle};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tandem_model::HangupCause;
use tandem_switch::{Command, Reply};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stop_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// What runs, as far as stopping is concerned.
pub(super) struct Running {
    pub(super) shard: ShardHandle<ShardCommand>,
    pub(super) media: MediaHandle,
    pub(super) admission: Arc<Admission>,
    pub(super) drain_timeout: Duration,
}

impl Running {
    /// No new calls from now on; those that are up may end by themselves for a while, then they are ended. A second signal ends
    /// them at once.
    pub(super) async fn drain(&self) {
        tracing::info!(timeout_s = self.drain_timeout.as_secs(), "draining: no new calls");
        self.admission.drain();
        let drained = tokio::select! {
            drained = self.idle_within(self.drain_timeout) => drained,
            _ = stop_signal() => false,
        };
        if !drained {
            tracing::warn!("calls are still up; they are ended");
            self.tell(Command::EndAll { cause: HangupCause::NodeShutdown });
            if !self.idle_within(END_TIMEOUT).await {
                tracing::error!("some calls did not end");
            }
        }
        tokio::select! {
            () = self.let_byes_be_answered() => {}
            _ = stop_signal() => {}
        }
    }

    async fn idle_within(&self, wait: Duration) -> bool {
        let (tell, idle) = oneshot::channel();
        self.shard.send(ShardCommand::WhenIdle(tell)).is_ok()
            && timeout(wait, idle).await.is_ok_and(|idle| idle.is_ok())
    }

    /// A BYE that was lost is sent again, and a late answer to an attempt that was given up is ended, as long as we are here to do it.
    async fn let_byes_be_answered(&self) {
        let until = Instant::now() + END_TIMEOUT;
        while Instant::now() < until && self.sessions().await.is_some_and(|sessions| sessions > 0) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn sessions(&self) -> Option<usize> {
        let (answer, counted) = oneshot::channel();
        let make = Box::new(|reply| Command::Count { reply });
        self.shard.send(ShardCommand::Ask { make, answer }).ok()?;
        match timeout(END_TIMEOUT, counted).await {
            Ok(Ok(Reply::Counted(counts))) => Some(counts.sip.sessions),
            _ => None,
        }
    }

    fn tell(&self, command: Command) {
        if self.shard.send(ShardCommand::Tell(command)).is_err() {
            tracing::error!("the shard takes no commands");
        }
    }

    /// Ends the threads, the shard first: what it has recorded is then complete, and written before the recorder ends.
    pub(super) async fn stop(self, shard: JoinHandle<()>, media: JoinHandle<()>, recorder: JoinHandle<()>) {
        let ended = tokio::task::spawn_blocking(move || {
            self.shard.stop();
            let shard = shard.join();
            self.media.stop();
            [shard, media.join(), recorder.join()].iter().all(Result::is_ok)
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("a thread panicked");
        }
    }
}

/// How long ending every call may take: ports close within 2 s.
const END_TIMEOUT: Duration = Duration::from_secs(4);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
