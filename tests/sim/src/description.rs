//! Session descriptions of far ends, written and read without the code that is under test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_lab::setup::sdp_with;

use crate::audio::{PCMA, PCMU};

/// Who may speak, as the one who describes it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Both,
    OnlySpeaks,
    OnlyHears,
    Neither,
    /// `c=0.0.0.0`: the hold of RFC 2543.
    Nowhere,
}

/// What codecs somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codecs {
    Mu,
    A,
    Either,
    /// One that the switch does not have.
    Foreign,
}

impl Mode {
    pub(crate) const fn speaks(self) -> bool {
        matches!(self, Self::Both | Self::OnlySpeaks)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Both | Self::Nowhere => "sendrecv",
            Self::OnlySpeaks => "sendonly",
            Self::OnlyHears => "recvonly",
            Self::Neither => "inactive",
        }
    }
}

impl Codecs {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mu => "0",
            Self::A => "8",
            Self::Either => "8 0",
            Self::Foreign => "18",
        }
    }

    const fn has(self, payload_type: u8) -> bool {
        match self {
            Self::Mu => payload_type == PCMU,
            Self::A => payload_type == PCMA,
            Self::Either => payload_type == PCMU || payload_type == PCMA,
            Self::Foreign => false,
        }
    }
}

pub(crate) fn write(media: SocketAddr, codecs: Codecs, mode: Mode) -> String {
    let media = if mode == Mode::Nowhere { SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), media.port()) } else { media };
    sdp_with(&media.to_string(), codecs.as_str(), mode.as_str())
}

/// What a peer has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Where it hears; `None` where it named no address.
    pub(crate) media: Option<SocketAddr>,
    pub(crate) speaks: bool,
    pub(crate) hears: bool,
    payload_types: Vec<u8>,
}

impl Description {
    pub(crate) fn read(body: &str) -> Option<Self> {
        let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start));
        let address: IpAddr = line("c=")?.rsplit_once(' ')?.1.trim().parse().ok()?;
        let mut audio = line("m=audio ")?.split_whitespace();
        let port: u16 = audio.next()?.parse().ok()?;
        let payload_types = audio.skip(1).filter_map(|number| number.parse().ok()).collect();
        let has = |attribute: &str| body.lines().any(|line| line.trim_end() == attribute);
        let media = (port != 0 && !address.is_unspecified()).then(|| SocketAddr::new(address, port));
        Some(Self {
            media,
            speaks: !has("a=recvonly") && !has("a=inactive"),
            hears: !has("a=sendonly") && !has("a=inactive"),
            payload_types,
        })
    }

    /// What is spoken to this peer by somebody who has these codecs.
    pub(crate) fn codec(&self, codecs: Codecs) -> Option<u8> {
        self.payload_types.iter().copied().find(|payload_type| codecs.has(*payload_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let media = "[2001:db8:1::7]:4000".parse().unwrap();
        let read = Description::read(&write(media, Codecs::Either, Mode::OnlySpeaks)).unwrap();
        assert_eq!((read.media, read.speaks, read.hears), (Some(media), true, false));
        assert_eq!((read.codec(Codecs::Mu), read.codec(Codecs::Foreign)), (Some(PCMU), None));
        assert_eq!(Description::read(&write(media, Codecs::Mu, Mode::Nowhere)).unwrap().media, None);
    }
}
