//! Kamailio as the edge of a carrier's network: a proxy that record-routes, forks, challenges and changes the transport. It is somebody
//! else's program, and strict about route sets: a request in a dialog that does not follow them gets a 404.

use crate::sip_text::SipText;
use crate::wait::{eventually, pause};
use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tandem_model::Transport;
use tempfile::TempDir;

/// What an edge is told. `Edge::at` is the least: it listens on UDP and sends everything to one place.
#[derive(Clone, Debug)]
pub struct Edge {
    listen: Vec<(Transport, SocketAddr)>,
    modules: String,
    onward: String,
    inside: String,
    blocks: String,
    files: Vec<(String, String)>,
    is_quiet: bool,
}

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    folder: TempDir,
    child: Child,
}

/// A message as Kamailio has read it.
#[derive(Clone, Debug)]
pub struct EdgeMessage {
    /// Who sent it.
    pub from: SocketAddr,
    /// Over what: `udp` or `tcp`.
    pub transport: String,
    /// The message.
    pub text: SipText,
}

impl Edge {
    /// An edge on this address that does `onward` with each request that begins something: statements of Kamailio's script, run after
    /// Record-Route was added, and before the request is relayed to `$du`.
    #[must_use]
    pub fn at(address: SocketAddr, onward: &str) -> Self {
        let listen = vec![(Transport::Udp, address)];
        Self {
            listen,
            modules: String::new(),
            onward: onward.to_owned(),
            inside: String::new(),
            blocks: String::new(),
            files: Vec::new(),
            is_quiet: false,
        }
    }

    /// Listens there too.
    #[must_use]
    pub fn and_at(mut self, transport: Transport, address: SocketAddr) -> Self {
        self.listen.push((transport, address));
        self
    }

    /// Does this with each request of a dialog that follows its route set, but an ACK.
    #[must_use]
    pub fn inside(mut self, statements: &str) -> Self {
        statements.clone_into(&mut self.inside);
        self
    }

    /// Loads a module, with its parameters as `name, value` of the script.
    #[must_use]
    pub fn with_module(mut self, name: &str, parameters: &[&str]) -> Self {
        self.modules.push_str(&format!("loadmodule \"{name}.so\"\n"));
        for parameter in parameters {
            self.modules.push_str(&format!("modparam(\"{name}\", {parameter})\n"));
        }
        self
    }

    /// Adds whole blocks of the script: `failure_route[…]`, `event_route[…]` and settings of the core.
    #[must_use]
    pub fn with_blocks(mut self, blocks: &str) -> Self {
        self.blocks.push_str(blocks);
        self
    }

    /// Has a file beside the script, for a module that reads one.
    #[must_use]
    pub fn with_file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Does not log each message: for crowds.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// The whole script.
    fn script(&self) -> String {
        let mut listen = String::new();
        for (transport, address) in &self.listen {
            // Writing to a string cannot fail.
            let _written = writeln!(listen, "listen={transport}:{address}");
        }
        let has_tcp = self.listen.iter().any(|(transport, _)| *transport == Transport::Tcp);
        let tcp = if has_tcp { "disable_tcp=no\ntcp_children=1" } else { "disable_tcp=yes" };
        let trace = if self.is_quiet {
            String::new()
        } else {
            format!("xlog(\"L_NOTICE\", \"\\n{BEGIN} $si:$sp $proto\\n$mb{END}\\n\");")
        };
        let Self { modules, onward, inside, blocks, .. } = self;
        format!(
            r#"#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
{tcp}
auto_aliases=no
dns=no
rev_dns=no
server_header="Server: kamailio"
{listen}
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
{modules}
modparam("xlog", "buf_size", 16384)
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_timer", 10000)
modparam("tm", "fr_inv_timer", 60000)

request_route {{
    {trace}
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        else sl_send_reply("481", "No such transaction");
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            if (!is_method("ACK")) route(INSIDE);
            t_relay();
            exit;
        }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "No route set of ours");
        exit;
    }}
    if (is_method("ACK")) exit;
    t_check_trans();
    # A Route that was there before we added one: we are the caller's outbound proxy.
    loose_route();
    if (is_method("INVITE")) record_route();
    route(ONWARD);
    if (!t_relay()) sl_reply_error();
}}

reply_route {{
    {trace}
    return;
}}

route[ONWARD] {{
    {onward}
    return;
}}

route[INSIDE] {{
    {inside}
    return;
}}
{blocks}
"#
        )
    }
}

impl Kamailio {
    /// Starts an edge and waits until it takes messages.
    ///
    /// # Panics
    /// When it does not; tells what it logged.
    #[must_use]
    pub fn start(edge: &Edge) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path();
        std::fs::write(path.join("edge.cfg"), edge.script()).expect("the folder is new");
        for (name, text) in &edge.files {
            std::fs::write(path.join(name), text).expect("the folder is new");
        }
        // Several processes write to it, each at its end.
        let log = File::options().create(true).append(true).open(path.join("log")).expect("the folder is new");
        let child = Command::new(PROGRAM)
            // In the foreground, with its workers, and everything that it makes in the folder.
            .args(["-DD", "-E", "-m", SHARED_MEGABYTES, "-M", "8", "-f", "edge.cfg", "-w"])
            .arg(path)
            .arg("-Y")
            .arg(path)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .current_dir(path)
            // Its workers end with it, whatever happens to it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be named twice"))
            .stderr(log)
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => panic!("kamailio does not run ({error}); install the Debian package kamailio"),
        };
        let mut kamailio = Self { folder, child };
        for (transport, address) in &edge.listen {
            eventually("kamailio that listens", START, || {
                let ended = kamailio.child.try_wait().ok().flatten();
                assert!(ended.is_none(), "kamailio ended at once: {}", kamailio.log());
                crate::sipp::listens(*transport, *address).then_some(())
            });
        }
        kamailio
    }

    /// Every message that it has read so far, in order: requests, and responses.
    #[must_use]
    pub fn seen(&self) -> Vec<EdgeMessage> {
        let log = self.log();
        let pieces = log.split(BEGIN).skip(1).filter_map(|piece| piece.split_once(END).map(|(piece, _)| piece));
        let read = |piece: &str| {
            let (head, text) = piece.split_once('\n')?;
            let (from, transport) = head.trim().split_once(' ')?;
            let text = SipText::parse(text.as_bytes())?;
            Some(EdgeMessage { from: from.parse().ok()?, transport: transport.to_lowercase(), text })
        };
        pieces.filter_map(read).collect()
    }

    /// Those of them from one host that are a request of this method, or a response as `200 INVITE`.
    #[must_use]
    pub fn seen_from(&self, from: SocketAddr, what: &str) -> Vec<EdgeMessage> {
        let mut seen = self.seen();
        seen.retain(|message| message.from.ip() == from.ip() && message.text.what() == what);
        seen
    }

    /// The first of them, once it is there.
    ///
    /// # Panics
    /// When it does not come; tells what came.
    #[must_use]
    pub fn wait_for(&self, from: SocketAddr, what: &str) -> EdgeMessage {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.seen_from(from, what).into_iter().next() {
                return message;
            }
            assert!(Instant::now() < deadline, "no {what} from {from} at the edge:\n{}", self.ladder());
            pause(POLL);
        }
    }

    /// What it has seen, one under another, for a failure's text.
    #[must_use]
    pub fn ladder(&self) -> String {
        let mut text = String::new();
        for message in self.seen() {
            text.push_str(&format!("{} {} {}\n", message.from, message.transport, message.text.summary()));
        }
        text
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let octets = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} -{}", self.child.id());
        // It may have ended.
        drop(Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status());
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The group of its own processes. It has nothing to save.
        self.signal("KILL");
        drop(self.child.wait());
        if std::thread::panicking() {
            show(&self.ladder());
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failed test is read together with what the edge has seen")]
fn show(ladder: &str) {
    eprintln!("--- seen by kamailio ---\n{ladder}---");
}

const PROGRAM: &str = "kamailio";
/// Enough for a thousand calls; it is taken as it is used.
const SHARED_MEGABYTES: &str = "64";
/// Marks in the log around a message.
const BEGIN: &str = "@@@seen";
const END: &str = "@@@end";
/// A cold start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// For a message to come, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at its log.
const POLL: Duration = Duration::from_millis(20);
