use super::address::Connection;
use super::attribute::{Attribute, decimal, payload_type_number};
use super::error::ParseError;
use super::media::{Media, MediaKind, Protocol};
use super::text::{Text, is_forbidden};
use super::{MAX_BYTES, MAX_FORMATS, MAX_LINE_BYTES, MAX_LINES, MAX_MEDIA, Origin, Session, TimeLine};

/// One line, cut at the `=`.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// Counts from 1.
    number: usize,
    letter: u8,
    value: &'a [u8],
}

impl Session {
    /// Reads a body of type `application/sdp`.
    ///
    /// # Errors
    /// [`ParseError`] names the line. A description is taken whole or not at all.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let lines = split_lines(body)?;
        let (first, rest) = lines.split_first().ok_or(ParseError::Empty)?;
        if first.letter != b'v' {
            return Err(ParseError::Missing { letter: b'v' });
        }
        if first.value.trim_ascii() != b"0" {
            return Err(first.bad_value());
        }
        let media_start = rest.iter().position(|line| line.letter == b'm').unwrap_or(rest.len());
        let (session_lines, media_lines) = rest.split_at(media_start);
        let mut session = read_session_part(session_lines)?;
        session.media = read_media(media_lines)?;
        Ok(session)
    }
}

/// Cuts the body into lines. An LF ends a line, with a CR before it or not (RFC 8866 §5); blank lines are taken at
/// the end only.
fn split_lines(body: &[u8]) -> Result<Vec<Line<'_>>, ParseError> {
    if body.len() > MAX_BYTES {
        return Err(ParseError::TooLong { bytes: body.len() });
    }
    let body = without_blank_end(body);
    if body.is_empty() {
        return Err(ParseError::Empty);
    }
    let mut lines = Vec::new();
    for (index, line) in body.split(|octet| *octet == b'\n').enumerate() {
        let number = index.saturating_add(1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if number > MAX_LINES {
            return Err(ParseError::TooManyLines);
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(ParseError::LineTooLong { line: number });
        }
        match line {
            [letter, b'=', value @ ..] if letter.is_ascii_lowercase() && !value.iter().copied().any(is_forbidden) => {
                lines.push(Line { number, letter: *letter, value });
            }
            _ => return Err(ParseError::NotALine { line: number }),
        }
    }
    Ok(lines)
}

/// Cuts blank lines off the end. Blanks at the end of a line are part of its value, whichever line is the last.
fn without_blank_end(body: &[u8]) -> &[u8] {
    let text = body.trim_ascii_end().len();
    let behind = body.get(text..).unwrap_or_default();
    let blanks = behind.iter().take_while(|octet| !matches!(octet, b'\r' | b'\n')).count();
    let end = if text == 0 { 0 } else { text.saturating_add(blanks) };
    body.get(..end).unwrap_or(body)
}

/// Everything between `v=` and the first `m=`.
fn read_session_part(lines: &[Line<'_>]) -> Result<Session, ParseError> {
    let (mut origin, mut name, mut information, mut uri) = (None, None, None, None);
    let (mut connection, mut key) = (None, None);
    let (mut emails, mut phones, mut bandwidths) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut attributes) = (Vec::new(), Vec::new());
    for line in lines {
        match line.letter {
            b'o' => line.set_once(&mut origin, line.origin()?)?,
            b's' => line.set_once(&mut name, line.text())?,
            b'i' => line.set_once(&mut information, line.text())?,
            b'u' => line.set_once(&mut uri, line.text())?,
            b'e' => emails.push(line.text()),
            b'p' => phones.push(line.text()),
            b'c' => line.set_once(&mut connection, line.connection()?)?,
            b'b' => bandwidths.push(line.text()),
            b't' => times.push(TimeLine::Active(line.text())),
            b'r' => times.push(TimeLine::Repeat(line.text())),
            b'z' => times.push(TimeLine::Zone(line.text())),
            b'k' => line.set_once(&mut key, line.text().into())?,
            b'a' => attributes.push(line.attribute()?),
            b'v' => return Err(line.repeated()),
            letter => return Err(ParseError::UnexpectedType { line: line.number, letter }),
        }
    }
    if times.is_empty() {
        times.push(TimeLine::unbounded());
    }
    Ok(Session {
        origin: origin.ok_or(ParseError::Missing { letter: b'o' })?,
        name: name.unwrap_or_else(|| "-".into()),
        information,
        uri,
        emails,
        phones,
        connection,
        bandwidths,
        times,
        key,
        attributes,
        media: Vec::new(),
    })
}

/// All `m=` sections; the first line, if there is one, is an `m=`.
fn read_media(lines: &[Line<'_>]) -> Result<Vec<Media>, ParseError> {
    let mut sections: Vec<Media> = Vec::new();
    for line in lines {
        if line.letter == b'm' {
            if sections.len() == MAX_MEDIA {
                return Err(ParseError::TooManyMedia { line: line.number });
            }
            sections.push(line.media()?);
            continue;
        }
        let Some(media) = sections.last_mut() else {
            return Err(ParseError::UnexpectedType { line: line.number, letter: line.letter });
        };
        match line.letter {
            b'i' => line.set_once(&mut media.information, line.text())?,
            b'c' => media.connections.push(line.connection()?),
            b'b' => media.bandwidths.push(line.text()),
            b'k' => line.set_once(&mut media.key, line.text().into())?,
            b'a' => media.attributes.push(line.attribute()?),
            letter => return Err(ParseError::UnexpectedType { line: line.number, letter }),
        }
    }
    Ok(sections)
}

impl Line<'_> {
    fn bad_value(&self) -> ParseError {
        ParseError::BadValue { line: self.number, letter: self.letter }
    }

    fn repeated(&self) -> ParseError {
        ParseError::Repeated { line: self.number, letter: self.letter }
    }

    fn set_once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), ParseError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.repeated()),
        }
    }

    fn text(&self) -> Text {
        Text::from_clean(self.value)
    }

    /// The value of a line whose grammar is ASCII.
    fn str(&self) -> Result<&str, ParseError> {
        std::str::from_utf8(self.value).map_err(|_| self.bad_value())
    }

    /// Six fields. What is more belongs to the user name: some phones put a display name there, blanks and all.
    fn origin(&self) -> Result<Origin, ParseError> {
        let mut fields = self.value.trim_ascii().rsplitn(6, |octet| *octet == b' ');
        let mut next =
            || fields.next().filter(|field| !field.is_empty()).map(Text::from_clean).ok_or_else(|| self.bad_value());
        let (address, family, network) = (next()?, next()?, next()?);
        let (session_version, session_id, username) = (next()?, next()?, next()?);
        Ok(Origin { username, session_id, session_version, network, family, address })
    }

    fn connection(&self) -> Result<Connection, ParseError> {
        Connection::parse(self.str()?).ok_or_else(|| self.bad_value())
    }

    fn attribute(&self) -> Result<Attribute, ParseError> {
        let colon = self.value.iter().position(|octet| *octet == b':');
        let (name, value) = match colon.and_then(|colon| self.value.split_at_checked(colon)) {
            Some((name, value)) => (name, Some(Text::from_clean(value.strip_prefix(b":").unwrap_or(value)))),
            // A blank after a flag would hide it.
            None => (self.value.trim_ascii_end(), None),
        };
        if name.is_empty() {
            return Err(self.bad_value());
        }
        Ok(Attribute { name: Text::from_clean(name), value })
    }

    fn media(&self) -> Result<Media, ParseError> {
        let value = self.str()?;
        if value.bytes().any(|octet| !octet.is_ascii_graphic() && !matches!(octet, b' ' | b'\t')) {
            return Err(self.bad_value());
        }
        let mut words = value.split_ascii_whitespace();
        let mut next = || words.next().ok_or_else(|| self.bad_value());
        let (kind, ports, protocol) = (next()?, next()?, next()?);
        let (port, port_count) = match ports.split_once('/') {
            Some((port, count)) => {
                (port, Some(decimal(count).filter(|count| *count > 0).ok_or_else(|| self.bad_value())?))
            }
            None => (ports, None),
        };
        let port = decimal(port).ok_or_else(|| self.bad_value())?;
        let mut media = Media::new(MediaKind::from_token(kind), port, Protocol::from_token(protocol));
        media.port_count = port_count;
        for format in words {
            if media.formats.len() == MAX_FORMATS {
                return Err(ParseError::TooManyMedia { line: self.number });
            }
            if media.protocol.is_rtp() && payload_type_number(format).is_none() {
                return Err(self.bad_value());
            }
            media.formats.push(Text::from_clean(format.as_bytes()));
        }
        if media.formats.is_empty() && port != 0 {
            return Err(self.bad_value());
        }
        Ok(media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n";

    fn parse(text: &str) -> Result<Session, ParseError> {
        Session::parse(text.as_bytes())
    }

    #[test]
    fn keys_are_kept_and_not_shown() {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nk=clear:hunter2\r\n\
            m=audio 4000 RTP/SAVP 0\r\nc=IN IP4 192.0.2.1\r\nk=clear:hunter2\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter2\r\na=sendrecv\r\n";
        let session = parse(text).unwrap();
        assert_eq!(String::from_utf8(session.to_bytes()).unwrap().matches("hunter2").count(), 3);
        let shown = format!("{session:?}");
        assert!(shown.contains("crypto") && shown.contains("sendrecv") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_carriers_leave_out_is_filled_in() {
        let session = parse("v=0\no=- 1 1 IN IP4 192.0.2.7\nm=audio 40000 RTP/AVP 0").unwrap();
        assert_eq!(session.name, "-");
        assert_eq!(session.times, [TimeLine::unbounded()]);
    }

    #[test]
    fn blanks_at_the_end_of_a_line_stay_wherever_it_stands() {
        let session = parse("v=0\no=- 1 1 IN IP4 192.0.2.7\na=x:1 \nb=AS:64\n \n\t\r\n").unwrap();
        assert_eq!(session.attributes, [Attribute::valued("x", "1 ")]);
        assert_eq!(Session::parse(&session.to_bytes()), Ok(session));
        assert_eq!(parse(" \r\n"), Err(ParseError::Empty));
    }

    #[test]
    fn a_user_name_may_hold_blanks() {
        let origin = parse("v=0\no=Front Desk 12 -3 IN IP4 192.0.2.7\n").unwrap().origin;
        assert_eq!(origin.username, "Front Desk");
        assert_eq!(origin.session_version, "-3");
    }

    #[test]
    fn free_text_need_not_be_utf_8() {
        let session = Session::parse(b"v=0\no=- 1 1 IN IP4 192.0.2.7\ns=Caf\xe9\n").unwrap();
        assert_eq!(session.name.as_bytes(), b"Caf\xe9");
        assert_eq!(session.name.as_str(), None);
        assert_eq!(Session::parse(&session.to_bytes()), Ok(session));
    }

    #[test]
    fn the_line_at_fault_is_named() {
        let body = |line: &str| parse(&format!("{HEAD}{line}\r\n"));
        assert_eq!(body("m=audio 65536 RTP/AVP 0"), Err(ParseError::BadValue { line: 6, letter: b'm' }));
        assert_eq!(body("q=what"), Err(ParseError::UnexpectedType { line: 6, letter: b'q' }));
        assert_eq!(body("c=IN IP4 192.0.2.8"), Err(ParseError::Repeated { line: 6, letter: b'c' }));
        assert_eq!(body("s =-"), Err(ParseError::NotALine { line: 6 }));
        assert_eq!(body("a=a\rb"), Err(ParseError::NotALine { line: 6 }));
        assert_eq!(body("a=:value"), Err(ParseError::BadValue { line: 6, letter: b'a' }));
        assert_eq!(parse("v=1\r\n"), Err(ParseError::BadValue { line: 1, letter: b'v' }));
        assert_eq!(parse("v=0\r\ns=-\r\n"), Err(ParseError::Missing { letter: b'o' }));
        assert_eq!(parse("o=- 1 1 IN IP4 192.0.2.7\r\n"), Err(ParseError::Missing { letter: b'v' }));
        assert_eq!(parse("\r\n \r\n"), Err(ParseError::Empty));
    }

    #[test]
    fn numbers_have_no_sign_and_fit() {
        for line in [
            "m=audio +40000 RTP/AVP 0",
            "m=audio 40000 RTP/AVP +0",
            "m=audio 40000 RTP/AVP 128",
            "m=audio 40000/0 RTP/AVP 0",
            "m=audio  RTP/AVP 0",
            "m=audio 40000 RTP/AVP",
            "m=audio 40000 \u{1b}[2J 0",
        ] {
            assert_eq!(parse(&format!("{HEAD}{line}")), Err(ParseError::BadValue { line: 6, letter: b'm' }), "{line}");
        }
    }

    #[test]
    fn a_refused_stream_may_lack_formats() {
        let session = parse(&format!("{HEAD}m=audio 0 RTP/AVP\r\n")).unwrap();
        assert!(session.media[0].formats.is_empty());
    }

    #[test]
    fn limits_hold() {
        let attributes = format!("{HEAD}{}", "a=x\n".repeat(MAX_LINES));
        assert_eq!(parse(&attributes), Err(ParseError::TooManyLines));
        let streams = format!("{HEAD}{}", "m=audio 0 RTP/AVP 0\n".repeat(MAX_MEDIA + 1));
        assert_eq!(parse(&streams), Err(ParseError::TooManyMedia { line: 6 + MAX_MEDIA }));
        let formats = format!("{HEAD}m=audio 1 RTP/AVP{}", " 0".repeat(MAX_FORMATS + 1));
        assert_eq!(parse(&formats), Err(ParseError::TooManyMedia { line: 6 }));
        let line = format!("{HEAD}a={}", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(parse(&line), Err(ParseError::LineTooLong { line: 6 }));
        assert_eq!(Session::parse(&[b'a'; MAX_BYTES + 1]), Err(ParseError::TooLong { bytes: MAX_BYTES + 1 }));
    }
}
