//! baresip: a telephone that is somebody else's program. It plays a tone and records what it hears.

use crate::lan::{Lan, LanHost};
use crate::wait::{eventually, pause};
use serde_json::{Value, json};
use std::f64::consts::TAU;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running baresip with an address of its own. It answers whoever calls it.
#[derive(Debug)]
pub struct Baresip {
    /// Ended before its folder is removed.
    process: LanHost,
    control: TcpStream,
    received: Vec<u8>,
    folder: TempDir,
}

impl Baresip {
    /// Starts one as `host` of the network, that is called `user` and says a tone of `hz`.
    ///
    /// # Panics
    /// When it does not start; tells what it printed.
    #[must_use]
    pub fn start(lan: &Lan, host: u8, user: &str, hz: u16) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path();
        let address = lan.host(host);
        let write = |name: &str, octets: &[u8]| {
            std::fs::write(path.join(name), octets).expect("the folder is the test's own");
        };
        std::fs::create_dir(path.join(RECORDINGS)).expect("the folder is the test's own");
        write("tone.wav", &wave(hz));
        write("accounts", format!("<sip:{user}@{address}>;regint=0;answermode=auto;audio_codecs=PCMU\n").as_bytes());
        // Else it makes its own, with friends of its authors.
        write("contacts", b"");
        let folder_name = path.display();
        write(
            "config",
            format!(
                "poll_method epoll\nsip_listen {address}:5060\ncall_local_timeout 120\n\
                 audio_player aubridge,nowhere\naudio_alert aubridge,nowhere\naudio_source aufile,{folder_name}/tone.wav\n\
                 ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\njitter_buffer_delay 1-5\n\
                 rtp_ports 30000-30099\nmodule_path {}\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\n\
                 module sndfile.so\nmodule ctrl_tcp.so\nmodule_tmp account.so\nmodule_app menu.so\n\
                 snd_path {folder_name}/{RECORDINGS}\nctrl_tcp_listen {address}:{CONTROL_PORT}\n",
                modules().display()
            )
            .as_bytes(),
        );
        let process = lan.run(host, PROGRAM, &["-f".as_ref(), path.as_os_str()], path);
        let at = SocketAddr::new(address, CONTROL_PORT);
        let deadline = Instant::now() + PATIENCE;
        let control = loop {
            match TcpStream::connect_timeout(&at, Duration::from_millis(500)) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => panic!(
                    "baresip cannot be reached ({error}); is the Debian package baresip-core installed? It said:\n{}",
                    process.printed()
                ),
                Err(_) => pause(Duration::from_millis(20)),
            }
        };
        Self { process, control, received: Vec::new(), folder }
    }

    /// Where it is called.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.process.address(), 5060)
    }

    /// Calls somebody.
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Puts its call on hold.
    pub fn hold(&mut self) {
        self.command("hold", "");
    }

    /// Takes its call back.
    pub fn resume(&mut self) {
        self.command("resume", "");
    }

    /// Presses a key for a moment.
    pub fn press(&mut self, key: char) {
        self.command("sndcode", &key.to_string());
        // The key is let go by another one, which is none.
        self.command("sndcode", " ");
    }

    /// Ends its call.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// The keys that it was told of by telephone-events, in order, once there are so many.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for_keys(&mut self, count: usize) -> String {
        let mut keys = String::new();
        eventually(&format!("{count} keys at baresip"), PATIENCE, || {
            while let Some(message) = self.read_message() {
                if message["type"] == "CALL_DTMF_START" {
                    keys.push_str(message["param"].as_str().unwrap_or_default());
                }
            }
            (keys.len() >= count).then_some(())
        });
        keys
    }

    /// What it has heard so far, 8,000 samples a second: it begins another recording when a call is taken back.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        let recordings = std::fs::read_dir(self.folder.path().join(RECORDINGS)).expect("the folder was made");
        let mut paths: Vec<PathBuf> = recordings.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.display().to_string().ends_with("-dec.wav"));
        paths.sort();
        let mut heard = Vec::new();
        for path in paths {
            let octets = std::fs::read(path).unwrap_or_default();
            // Its header says how long it is only once it is closed.
            let samples = octets.get(WAVE_HEADER..).unwrap_or_default().chunks_exact(2);
            heard.extend(samples.filter_map(|pair| pair.try_into().ok().map(i16::from_le_bytes)));
        }
        heard
    }

    /// What it has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        self.process.printed()
    }

    /// A command and its answer, as netstrings of JSON; events are passed over.
    fn command(&mut self, command: &str, parameter: &str) {
        let text = json!({"command": command, "params": parameter, "token": command}).to_string();
        self.control.write_all(format!("{}:{text},", text.len()).as_bytes()).expect("baresip is there");
        let answer = eventually(&format!("answer of baresip to {command}"), PATIENCE, || {
            while let Some(message) = self.read_message() {
                if message["response"] == true && message["token"] == command {
                    return Some(message);
                }
            }
            None
        });
        assert_eq!(answer["ok"], true, "{command} {parameter}: {answer:#}\n{}", self.printed());
    }

    /// The next answer or event; `None` when there is none for a moment.
    fn read_message(&mut self) -> Option<Value> {
        if let Some(message) = self.next_message() {
            return Some(message);
        }
        self.control.set_read_timeout(Some(Duration::from_millis(50))).expect("it is not zero");
        let mut buffer = [0; 4_096];
        if let Ok(length) = self.control.read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..length]);
        }
        self.next_message()
    }

    fn next_message(&mut self) -> Option<Value> {
        let colon = self.received.iter().position(|octet| *octet == b':')?;
        let length: usize = std::str::from_utf8(self.received.get(..colon)?).ok()?.parse().expect("a netstring");
        let text = self.received.get(colon + 1..=colon + length)?;
        let message = serde_json::from_slice(text).expect("JSON");
        // With the comma after it.
        self.received.get(colon + length + 1)?;
        self.received.drain(..colon + length + 2);
        Some(message)
    }
}

/// Where Debian has baresip's modules: beside the libraries of the machine, or without its name.
fn modules() -> PathBuf {
    let machine = format!("/usr/lib/{}-linux-gnu/baresip/modules", std::env::consts::ARCH);
    let places = [PathBuf::from("/usr/lib/baresip/modules"), PathBuf::from(machine)];
    let found = places.iter().find(|path| Path::is_dir(path));
    found.cloned().unwrap_or_else(|| panic!("no modules of baresip; install the Debian package baresip-core"))
}

/// A minute of a tone, 16 bits, 8 kHz, one channel.
fn wave(hz: u16) -> Vec<u8> {
    let samples = RATE * 60;
    let data = samples * 2;
    let mut octets = Vec::with_capacity(WAVE_HEADER + usize::try_from(data).expect("a megabyte"));
    octets.extend(b"RIFF");
    octets.extend((36 + data).to_le_bytes());
    octets.extend(b"WAVEfmt ");
    octets.extend(16_u32.to_le_bytes());
    octets.extend(1_u16.to_le_bytes());
    octets.extend(1_u16.to_le_bytes());
    octets.extend(RATE.to_le_bytes());
    octets.extend((RATE * 2).to_le_bytes());
    octets.extend(2_u16.to_le_bytes());
    octets.extend(16_u16.to_le_bytes());
    octets.extend(b"data");
    octets.extend(data.to_le_bytes());
    for place in 0..samples {
        let phase = TAU * f64::from(hz) * f64::from(place) / f64::from(RATE);
        #[expect(clippy::cast_possible_truncation, reason = "a sine of 8,000 fits into 16 bits")]
        let sample = (phase.sin() * LEVEL) as i16;
        octets.extend(sample.to_le_bytes());
    }
    octets
}

const PROGRAM: &str = "baresip";
const RECORDINGS: &str = "heard";
const CONTROL_PORT: u16 = 4_444;
const RATE: u32 = 8_000;
/// Some 12 dB below full scale.
const LEVEL: f64 = 8_000.0;
/// Octets before the samples.
const WAVE_HEADER: usize = 44;
/// A cold start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
