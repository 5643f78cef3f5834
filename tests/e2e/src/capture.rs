//! What goes over the wire, as tcpdump sees it.

use crate::network::Network;
use crate::pcap;
use crate::sip_text::SipText;
use crate::wait::eventually;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running tcpdump on the loopback interface, for one network.
#[derive(Debug)]
pub struct Capture {
    folder: TempDir,
    child: Child,
}

/// One datagram that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, since the epoch.
    pub at: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What it is.
    pub payload: Vec<u8>,
}

impl Capture {
    /// Begins to capture; returns once it does.
    ///
    /// # Panics
    /// When tcpdump cannot be run or may not capture.
    #[must_use]
    pub fn start(network: &Network) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let log = File::create(folder.path().join("log")).expect("the folder is new");
        // -U and immediate mode: each packet is in the file as soon as it was seen.
        let child = Command::new("tcpdump")
            .args(["-i", "lo", "-n", "-U", "--immediate-mode", "-s", "0", "-B", "16384", "-w"])
            .arg(folder.path().join("pcap"))
            .args(["udp and net", &network.range()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => panic!("tcpdump does not run ({error}); install the Debian package tcpdump"),
        };
        let log = folder.path().join("log");
        eventually("tcpdump that listens", START, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Ok(Some(status)) = child.try_wait() {
                panic!("tcpdump ended with {status}; it needs root or the capability CAP_NET_RAW: {said}");
            }
            said.contains("listening on").then_some(())
        });
        Self { folder, child }
    }

    /// Everything seen so far, in order.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        let file = std::fs::read(self.path()).unwrap_or_default();
        let packet = |seen: pcap::Datagram| Packet { at: seen.at, from: seen.from, to: seen.to, payload: seen.payload };
        pcap::datagrams(&file).into_iter().map(packet).collect()
    }

    /// All SIP messages seen so far.
    #[must_use]
    pub fn sip(&self) -> Vec<(Packet, SipText)> {
        let read = |packet: Packet| SipText::parse(&packet.payload).map(|text| (packet, text));
        self.packets().into_iter().filter_map(read).collect()
    }

    /// Waits until a SIP message was seen, and gives it.
    ///
    /// # Panics
    /// When it does not come in time; tells what came.
    pub fn wait_for(
        &self,
        what: &str,
        timeout: Duration,
        is_it: impl Fn(&Packet, &SipText) -> bool,
    ) -> (Packet, SipText) {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let seen = self.sip();
            if let Some(found) = seen.iter().find(|(packet, text)| is_it(packet, text)) {
                return found.clone();
            }
            if std::time::Instant::now() >= deadline {
                panic!("in {timeout:?}: no {what} on the wire; seen:\n{}", Self::ladder(&seen));
            }
            crate::wait::pause(Duration::from_millis(20));
        }
    }

    /// RTP packets from one address to another (any port), by their first octet and a size that audio of 20 ms has.
    #[must_use]
    pub fn rtp(&self, from: std::net::IpAddr, to: std::net::IpAddr) -> Vec<Packet> {
        let is_rtp = |packet: &Packet| {
            packet.from.ip() == from
                && packet.to.ip() == to
                && packet.payload.len() > 12
                && packet.payload.first().is_some_and(|first| first >> 6 == 2)
                && packet.payload.get(1).is_some_and(|second| !(200..=207).contains(second))
        };
        self.packets().into_iter().filter(is_rtp).collect()
    }

    /// Messages one under another, for a failure's text.
    #[must_use]
    pub fn ladder(seen: &[(Packet, SipText)]) -> String {
        let mut text = String::new();
        for (packet, message) in seen {
            let line = format!("{:?} {} -> {} {}\n", packet.at, packet.from, packet.to, message.summary());
            text.push_str(&line);
        }
        text
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("pcap")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// tcpdump starts in some 100 ms; this is for a busy machine.
const START: Duration = Duration::from_secs(20);
