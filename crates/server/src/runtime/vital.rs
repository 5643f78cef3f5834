use std::io;
use std::thread::{self, JoinHandle};

/// Starts a thread without which the process is of no use: should it panic, the process ends at once and whoever watches over it
/// starts it anew. A process that answers HTTP and carries no calls would be worse than none.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let named = name.to_owned();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = AbortOnPanic { thread: named };
        body();
        drop(guard);
    })
}

struct AbortOnPanic {
    thread: String,
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(thread = self.thread, "a thread panicked; the process ends");
            std::process::abort();
        }
    }
}
