//! SIPp: a far end that is somebody else's program.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tandem_model::Transport;
use tempfile::TempDir;

use crate::scene::Scene;
use crate::sip_text::SipText;
use crate::wait::{eventually, pause};

/// What a SIPp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Rings, answers, hangs up.
    Answer,
    /// Asks for digest credentials with a 401 first, computes whether they are right, and then does the same.
    Challenge,
    /// The same with a 407; it looks at the form of the credentials only.
    ProxyChallenge,
}

/// Calls that a SIPp places: it hears ringing, is answered, and waits until the other side hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SippCalls<'a> {
    /// Where it calls from.
    pub from: SocketAddr,
    /// Whom it sends its INVITEs to.
    pub to: SocketAddr,
    /// Over UDP or TCP, one connection for all.
    pub transport: Transport,
    /// Whom it calls.
    pub number: &'a str,
    /// How often.
    pub count: u32,
    /// At which rate.
    pub per_second: u32,
}

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    folder: TempDir,
    child: Child,
}

/// What it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SippCounts {
    /// Calls that went as the scenario says.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
}

/// A message that a SIPp has read or written, repeats too.
#[derive(Clone, Debug)]
pub struct SippMessage {
    /// Whether it came, or was sent.
    pub came: bool,
    /// The message.
    pub text: SipText,
}

impl Sipp {
    /// Starts a SIPp that takes `calls` calls on `address` and then ends.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn start(scenario: Scenario, address: SocketAddr, calls: u32) -> Self {
        Self::start_over(Transport::Udp, scenario, address, calls)
    }

    /// The same over this transport.
    ///
    /// # Panics
    /// When it cannot be run, and for transports other than UDP and TCP.
    #[must_use]
    pub fn start_over(transport: Transport, scenario: Scenario, address: SocketAddr, calls: u32) -> Self {
        Self::run(&file(scenario.file()), transport, address, calls, &[]).listening(transport, address)
    }

    /// Starts a SIPp on `address` that does this in the one call that it takes.
    ///
    /// # Panics
    /// When it cannot be run, and for transports other than UDP and TCP.
    #[must_use]
    pub fn take(transport: Transport, scene: &Scene, address: SocketAddr) -> Self {
        Self::play(transport, scene, address, &[]).listening(transport, address)
    }

    /// Starts a SIPp on `address` that does this in the one call to `number` that it places at `to`.
    ///
    /// # Panics
    /// When it cannot be run, and for transports other than UDP and TCP.
    #[must_use]
    pub fn place(transport: Transport, scene: &Scene, address: SocketAddr, to: SocketAddr, number: &str) -> Self {
        Self::play(transport, scene, address, &["-s", number, &to.to_string()])
    }

    fn play(transport: Transport, scene: &Scene, address: SocketAddr, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("scene.xml");
        std::fs::write(&path, scene.xml()).expect("the folder is new");
        let trace = ["-trace_msg", "-message_file", MESSAGES, "-message_overwrite", "false"];
        let repeats: &[&str] = if scene.counts_repeats() { &["-nr"] } else { &[] };
        let options: Vec<&str> = trace.iter().chain(repeats).chain(more).copied().collect();
        Self::run_in(folder, &path, transport, address, 1, &options)
    }

    fn listening(mut self, transport: Transport, address: SocketAddr) -> Self {
        // Who is called before it listens has refused.
        eventually("sipp that listens", START, || {
            let ended = self.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "sipp ended at once: {}{}", self.read("stderr"), self.errors());
            listens(transport, address).then_some(())
        });
        self
    }

    /// Starts a SIPp that places calls and ends once all are over.
    ///
    /// # Panics
    /// When it cannot be run, and for transports other than UDP and TCP.
    #[must_use]
    pub fn call(calls: &SippCalls<'_>) -> Self {
        let rate = calls.per_second.to_string();
        // Calls that wait for something do not keep others from being placed on time.
        let most = calls.count.to_string();
        let to = calls.to.to_string();
        let more = ["-s", calls.number, "-r", &rate, "-l", &most, &to];
        Self::run(&file("call.xml"), calls.transport, calls.from, calls.count, &more)
    }

    fn run(scenario: &Path, transport: Transport, address: SocketAddr, calls: u32, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        Self::run_in(folder, scenario, transport, address, calls, more)
    }

    fn run_in(
        folder: TempDir,
        scenario: &Path,
        transport: Transport,
        address: SocketAddr,
        calls: u32,
        more: &[&str],
    ) -> Self {
        let log = |name: &str| File::create(folder.path().join(name)).expect("the folder is new");
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(scenario)
            .args(["-t", one_socket(transport), "-i", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-m", &calls.to_string(), "-nostdin", "-buff_size", BUFFER, "-timeout", "120", "-timeout_error"])
            .args(["-trace_stat", "-fd", "1", "-stf", "stat.csv", "-trace_err", "-error_file", "errors"])
            .args(more)
            .current_dir(folder.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn();
        match child {
            Ok(child) => Self { folder, child },
            Err(error) => panic!("sipp does not run ({error}); install the Debian package sip-tester"),
        }
    }

    /// Waits until it has ended, and reads its counts.
    ///
    /// # Panics
    /// When it does not end, or ended badly; tells what it wrote.
    #[must_use]
    pub fn finish(mut self, timeout: Duration) -> SippCounts {
        self.ended(timeout)
    }

    /// Waits until the one call of its scene went as the scene says, and gives what came and went.
    ///
    /// # Panics
    /// When it did not; tells what it wrote.
    pub fn succeed(mut self) -> Vec<SippMessage> {
        let counts = self.ended(SCENE);
        let messages = self.messages();
        let summaries = || {
            let line = |message: &SippMessage| {
                format!("{} {}\n", if message.came { "<-" } else { "->" }, message.text.summary())
            };
            messages.iter().map(line).collect::<String>()
        };
        let expected = SippCounts { successful: 1, failed: 0 };
        assert_eq!(counts, expected, "{}\n{}\n{}", self.errors(), self.read("stderr"), summaries());
        messages
    }

    /// What has come and gone so far, of a SIPp with a scene.
    #[must_use]
    pub fn messages(&self) -> Vec<SippMessage> {
        let log = self.read(MESSAGES);
        let read = |piece: &str| {
            // When, what happened, an empty line, the message.
            let (head, message) = piece.split_once("\n\n")?;
            // With an end of line of the log's.
            let text = SipText::parse(message.strip_suffix('\n').unwrap_or(message).as_bytes())?;
            Some(SippMessage { came: head.contains("received"), text })
        };
        log.split(MESSAGE_MARK).filter_map(read).collect()
    }

    /// The first message of this kind (`INVITE`, `200 INVITE`) that has come, once it is there.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for(&self, what: &str) -> SipText {
        eventually(&format!("{what} at sipp"), SCENE, || {
            self.messages().into_iter().find(|message| message.came && message.text.what() == what)
        })
        .text
    }

    fn ended(&mut self, timeout: Duration) -> SippCounts {
        let deadline = Instant::now() + timeout;
        while self.child.try_wait().ok().flatten().is_none() {
            let counts = self.counts();
            assert!(Instant::now() < deadline, "in {timeout:?}: no end of sipp; {counts:?} so far: {}", self.errors());
            pause(POLL);
        }
        let Some(counts) = self.counts() else {
            panic!("sipp wrote no counts; it said: {}{}", self.read("stderr"), self.errors())
        };
        counts
    }

    /// What it has counted so far; a second old while it runs.
    fn counts(&self) -> Option<SippCounts> {
        let table = self.read("stat.csv");
        let mut lines = table.lines();
        let names: Vec<&str> = lines.next()?.split(';').collect();
        let last: Vec<&str> = lines.next_back()?.split(';').collect();
        let count = |name: &str| {
            let place = names.iter().position(|known| *known == name)?;
            last.get(place)?.parse().ok()
        };
        Some(SippCounts { successful: count("SuccessfulCall(C)")?, failed: count("FailedCall(C)")? })
    }

    /// What it complained about.
    #[must_use]
    pub fn errors(&self) -> String {
        self.read("errors")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Scenario {
    const fn file(self) -> &'static str {
        match self {
            Self::Answer => "answer.xml",
            Self::Challenge => "challenge.xml",
            Self::ProxyChallenge => "proxy_challenge.xml",
        }
    }
}

/// A scenario of the harness.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

/// SIPp's name for a transport with one socket for all calls.
fn one_socket(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "u1",
        Transport::Tcp => "t1",
        Transport::Tls | Transport::Ws | Transport::Wss => panic!("no test has a SIPp over {transport}"),
    }
}

/// Whether a socket is bound to this place, as the kernel's tables of sockets say: to try to bind it would be in the way.
pub(crate) fn listens(transport: Transport, address: SocketAddr) -> bool {
    let family = if address.is_ipv4() { "" } else { "6" };
    let table = format!("/proc/net/{transport}{family}");
    // Words of 32 bits in the order of the machine, each from its first octet in memory.
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.as_chunks::<4>().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
    let place = format!("{}:{:04X}", words.collect::<String>(), address.port());
    let sockets = std::fs::read_to_string(table).unwrap_or_default();
    sockets.lines().any(|line| line.split_whitespace().nth(1) == Some(place.as_str()))
}

/// Octets of its sockets' buffers: as much as Linux gives unasked, so that a moment without a processor loses nothing.
const BUFFER: &str = "212992";
/// SIPp starts in some 50 ms; this is for a busy machine.
const START: Duration = Duration::from_secs(20);
/// A scene takes some seconds; this is for a busy machine.
const SCENE: Duration = Duration::from_secs(25);
/// Its log of messages, and what is before each of them.
const MESSAGES: &str = "messages";
const MESSAGE_MARK: &str = "-----------------------------------------------";
/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(20);
