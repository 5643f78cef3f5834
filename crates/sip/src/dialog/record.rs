use std::fmt;
use std::str::FromStr;

use super::Dialog;
use crate::endpoint::Flow;
use crate::message::decimal::write_socket_addr;
use crate::message::{HeaderName, NameAddr, SipCallId};

/// A dialog and the path to its peer: all that is needed to end it from another process.
///
/// As text it is a few lines of a word and a value, for a journal: `Display` and `FromStr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogRecord {
    /// The path.
    pub flow: Flow,
    /// The dialog.
    pub dialog: Dialog,
}

/// The text is no dialog record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a dialog record")]
pub struct InvalidDialogRecord;

impl fmt::Display for DialogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flow, dialog } = self;
        for part in ["flow ", flow.transport.as_str(), " "] {
            f.write_str(part)?;
        }
        write_socket_addr(f, flow.local)?;
        f.write_str(" ")?;
        write_socket_addr(f, flow.remote)?;
        for part in ["\ncall-id ", dialog.call_id.as_str(), "\n"] {
            f.write_str(part)?;
        }
        writeln!(f, "local {}", dialog.local)?;
        writeln!(f, "remote {}", dialog.remote)?;
        writeln!(f, "local-seq {}", dialog.local_seq)?;
        if let Some(remote_seq) = dialog.remote_seq {
            writeln!(f, "remote-seq {remote_seq}")?;
        }
        writeln!(f, "target {}", NameAddr::new(dialog.remote_target.clone()))?;
        dialog.route_set.iter().try_for_each(|route| writeln!(f, "route {route}"))
    }
}

impl FromStr for DialogRecord {
    type Err = InvalidDialogRecord;

    fn from_str(text: &str) -> Result<Self, InvalidDialogRecord> {
        let (mut flow, mut call_id, mut local, mut remote) = (None, None, None, None);
        let (mut local_seq, mut remote_seq, mut target) = (None, None, None);
        let mut route_set = Vec::new();
        for line in text.lines() {
            let (word, value) = line.split_once(' ').ok_or(InvalidDialogRecord)?;
            match word {
                "flow" => flow = Some(read_flow(value)?),
                "call-id" => call_id = Some(SipCallId::new(value).map_err(|_| InvalidDialogRecord)?),
                "local" => local = Some(read_address(value)?),
                "remote" => remote = Some(read_address(value)?),
                "local-seq" => local_seq = Some(read(value)?),
                "remote-seq" => remote_seq = Some(read(value)?),
                "target" => target = Some(read_address(value)?.uri),
                "route" => route_set.push(read_address(value)?),
                _ => return Err(InvalidDialogRecord),
            }
        }
        let dialog = Dialog {
            call_id: call_id.ok_or(InvalidDialogRecord)?,
            local: local.ok_or(InvalidDialogRecord)?,
            remote: remote.ok_or(InvalidDialogRecord)?,
            local_seq: local_seq.ok_or(InvalidDialogRecord)?,
            remote_seq,
            remote_target: target.ok_or(InvalidDialogRecord)?,
            route_set,
        };
        Ok(Self { flow: flow.ok_or(InvalidDialogRecord)?, dialog })
    }
}

fn read_flow(value: &str) -> Result<Flow, InvalidDialogRecord> {
    let mut words = value.split(' ');
    let mut word = || words.next().ok_or(InvalidDialogRecord);
    Ok(Flow { transport: read(word()?)?, local: read(word()?)?, remote: read(word()?)? })
}

fn read_address(value: &str) -> Result<NameAddr, InvalidDialogRecord> {
    NameAddr::parse(HeaderName::Route, value.as_bytes()).map_err(|_| InvalidDialogRecord)
}

fn read<T: FromStr>(value: &str) -> Result<T, InvalidDialogRecord> {
    value.parse().map_err(|_| InvalidDialogRecord)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Transport;

    fn record() -> DialogRecord {
        DialogRecord {
            flow: Flow {
                transport: Transport::Tcp,
                local: "192.0.2.1:5060".parse().unwrap(),
                remote: "[2001:db8::2]:5061".parse().unwrap(),
            },
            dialog: Dialog {
                call_id: SipCallId::new("a@b").unwrap(),
                local: read_address("\"We \\\"ourselves\\\"\" <sip:us@192.0.2.1;x=y>;tag=1").unwrap(),
                remote: read_address("<tel:+12025550100>;tag=2").unwrap(),
                local_seq: 7,
                remote_seq: Some(1),
                remote_target: "sip:peer@[2001:db8::2];transport=tcp".parse().unwrap(),
                route_set: vec![read_address("<sip:a;lr>").unwrap(), read_address("<sip:b;lr>;p=1").unwrap()],
            },
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let full = record();
        assert_eq!(full.to_string().parse(), Ok(full.clone()));
        let mut bare = full;
        bare.dialog.remote_seq = None;
        bare.dialog.route_set.clear();
        assert_eq!(bare.to_string().parse(), Ok(bare));
    }

    #[test]
    fn a_record_that_lacks_something_is_none() {
        let text = record().to_string();
        for word in ["flow", "call-id", "local ", "remote ", "local-seq", "target"] {
            let without: String =
                text.lines().filter(|line| !line.starts_with(word)).map(|line| format!("{line}\n")).collect();
            assert_eq!(without.parse::<DialogRecord>(), Err(InvalidDialogRecord), "{word}");
        }
        assert_eq!("".parse::<DialogRecord>(), Err(InvalidDialogRecord));
        assert_eq!(text.replace("tcp", "pigeon").parse::<DialogRecord>(), Err(InvalidDialogRecord));
    }
}
