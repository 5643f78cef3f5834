use std::fmt::Display;

use super::media::Media;
use super::text::{KeyText, Text};
use super::{Attribute, Session, TimeLine};

/// Room for a usual audio description, so that printing one allocates once.
const USUAL_BYTES: usize = 512;

impl Session {
    /// The description with its lines in the order of RFC 8866 §5, each ended by CR LF.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Body(Vec::with_capacity(USUAL_BYTES));
        body.line(b'v', b"0");
        let origin = &self.origin;
        body.words(
            b'o',
            [
                &origin.username,
                &origin.session_id,
                &origin.session_version,
                &origin.network,
                &origin.family,
                &origin.address,
            ],
        );
        body.text(b's', &self.name);
        body.texts(b'i', &self.information);
        body.texts(b'u', &self.uri);
        body.texts(b'e', &self.emails);
        body.texts(b'p', &self.phones);
        body.shown(b'c', &self.connection);
        body.texts(b'b', &self.bandwidths);
        for time in &self.times {
            match time {
                TimeLine::Active(value) => body.text(b't', value),
                TimeLine::Repeat(value) => body.text(b'r', value),
                TimeLine::Zone(value) => body.text(b'z', value),
            }
        }
        body.texts(b'k', self.key.as_ref().map(KeyText::text));
        body.attributes(&self.attributes);
        for media in &self.media {
            body.media(media);
        }
        body.0
    }
}

struct Body(Vec<u8>);

impl Body {
    fn line(&mut self, letter: u8, value: &[u8]) {
        self.0.extend([letter, b'=']);
        self.0.extend_from_slice(value);
        self.end();
    }

    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    fn text(&mut self, letter: u8, text: &Text) {
        self.line(letter, text.as_bytes());
    }

    fn texts<'a>(&mut self, letter: u8, texts: impl IntoIterator<Item = &'a Text>) {
        for text in texts {
            self.text(letter, text);
        }
    }

    fn shown<'a, T: Display + 'a>(&mut self, letter: u8, values: impl IntoIterator<Item = &'a T>) {
        for value in values {
            self.line(letter, value.to_string().as_bytes());
        }
    }

    fn words<'a>(&mut self, letter: u8, words: impl IntoIterator<Item = &'a Text>) {
        self.0.extend([letter, b'=']);
        for (index, word) in words.into_iter().enumerate() {
            if index > 0 {
                self.0.push(b' ');
            }
            self.0.extend_from_slice(word.as_bytes());
        }
        self.end();
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            self.0.extend_from_slice(b"a=");
            self.0.extend_from_slice(attribute.name.as_bytes());
            if let Some(value) = &attribute.value {
                self.0.push(b':');
                self.0.extend_from_slice(value.as_bytes());
            }
            self.end();
        }
    }

    fn media(&mut self, media: &Media) {
        let ports = match media.port_count {
            Some(count) => format!("{}/{count}", media.port),
            None => media.port.to_string(),
        };
        let head = [media.kind.to_string(), ports, media.protocol.to_string()].map(Text::from);
        self.words(b'm', head.iter().chain(&media.formats));
        self.texts(b'i', &media.information);
        self.shown(b'c', &media.connections);
        self.texts(b'b', &media.bandwidths);
        self.texts(b'k', media.key.as_ref().map(KeyText::text));
        self.attributes(&media.attributes);
    }
}
