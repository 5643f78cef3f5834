//! A network of a test's own, for programs that must have an address to themselves.

use crate::wait::eventually;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// 198.18.x.0/24 or 198.19.x.0/24 (RFC 2544), taken for one test. This machine is host 1; every other host is a program with a network
/// namespace of its own, which is gone with the program.
#[derive(Debug)]
pub struct Lan {
    prefix: [u8; 3],
    /// Holds the network while it is bound: two processes cannot.
    _claim: TcpListener,
}

/// A program on a [`Lan`]. It ends with the test.
#[derive(Debug)]
pub struct LanHost {
    child: Child,
    address: IpAddr,
    output: PathBuf,
}

impl Lan {
    /// Takes a network that nobody has.
    ///
    /// # Panics
    /// When none is free.
    #[must_use]
    pub fn claim() -> Self {
        let start = std::process::id();
        for step in 0..NETWORKS {
            let [.., high, low] = (start.wrapping_add(step) % NETWORKS).to_be_bytes();
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, 255, high, low), CLAIM_PORT)) {
                return Self { prefix: [198, 18 + high, low], _claim: claim };
            }
        }
        panic!("no network of 198.18.0.0/15 is free; is another run of the tests stuck?");
    }

    /// An address of it; 1 is this machine, once there is another host.
    #[must_use]
    pub fn host(&self, host: u8) -> IpAddr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, host).into()
    }

    /// All of it, as `198.18.x.0/24`.
    #[must_use]
    pub fn range(&self) -> String {
        let [a, b, c] = self.prefix;
        format!("{a}.{b}.{c}.0/24")
    }

    /// Runs a program as `host`, with this machine as its router. What it prints goes into a file of `folder`.
    ///
    /// # Panics
    /// When it cannot be done: that needs root, and iproute2 and util-linux, which every Debian has.
    #[must_use]
    pub fn run(&self, host: u8, program: &str, arguments: &[&OsStr], folder: &Path) -> LanHost {
        let output = folder.join("output");
        let log = File::create(&output).expect("the folder is the test's own");
        // It ends with the thread that started it, however that ends, and waits until it has a network.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "read _ && exec \"$@\"", "sh", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("setpriv and unshare are part of every Debian");
        let mut started = child.stdin.take().expect("it is piped");
        let mut plugged = LanHost { child, address: self.host(host), output };
        plugged.wait_for_namespace();
        self.plug(host, plugged.child.id());
        started.write_all(b"go\n").expect("it waits for this");
        plugged
    }

    /// Connects the namespace of a process. The cable goes with the namespace.
    fn plug(&self, host: u8, process: u32) {
        let [_, b, c] = self.prefix;
        let (here, there) = (self.host(1), self.host(host));
        let name = format!("tdm{b}-{c}-{host}");
        ip(&format!("link add {name} type veth peer name {FAR_NAME} netns {process}"));
        ip(&format!("address add {here} peer {there} dev {name}"));
        ip(&format!("link set {name} up"));
        let inside = |command: &str| {
            run("nsenter", &format!("--target {process} --net ip {command}"));
        };
        inside(&format!("address add {there} peer {here} dev {FAR_NAME}"));
        inside(&format!("link set {FAR_NAME} up"));
        inside("link set lo up");
        inside(&format!("route add default via {here}"));
    }
}

impl LanHost {
    /// Its address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// What it has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn wait_for_namespace(&mut self) {
        let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let own = namespace("self");
        eventually("network namespace", PATIENCE, || {
            let ended = self.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "unshare ended with {ended:?} (it needs root): {}", self.printed());
            namespace(&self.child.id().to_string()).filter(|theirs| Some(theirs) != own.as_ref()).map(drop)
        });
    }
}

impl Drop for LanHost {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ip(command: &str) {
    run("ip", command);
}

fn run(program: &str, arguments: &str) {
    let done = Command::new(program).args(arguments.split(' ')).output();
    let done = done.unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    assert!(done.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// 198.18.0.0/15.
const NETWORKS: u32 = 512;
const CLAIM_PORT: u16 = 5_998;
/// What a program calls its network card.
const FAR_NAME: &str = "eth0";
/// For a process to begin, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
