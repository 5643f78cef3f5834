//! Reading challenges (RFC 7235 §2.1, RFC 7616 §3.3).

use super::{Algorithm, Challenge, Qop};
use crate::message::scan::{self, Cursor, trim};
use crate::message::{HeaderName, Message};

/// All Digest challenges of a 401 or 407 that we could answer, topmost first: answer one of them for the realm that you
/// have credentials for, and no other of that realm; see [`strongest`].
///
/// WWW-Authenticate and Proxy-Authenticate are both read. Challenges of other schemes, of algorithms or qualities of
/// protection that we do not know, without realm or nonce, or malformed ones are left out: they cannot be answered.
pub fn challenges(response: &Message<'_>) -> Vec<Challenge> {
    let names = [(HeaderName::WwwAuthenticate, false), (HeaderName::ProxyAuthenticate, true)];
    let mut challenges = Vec::new();
    for header in response.raw_headers() {
        let name = header.name();
        let Some((_, proxy)) = names.iter().find(|(known, _)| *known == name) else { continue };
        challenges.extend(schemes(header.value()).filter_map(|scheme| scheme.to_challenge(*proxy)));
        if challenges.len() >= MAX_CHALLENGES {
            challenges.truncate(MAX_CHALLENGES);
            break;
        }
    }
    challenges
}

/// Of the challenges whose realm is acceptable, the one to answer: of the topmost one's realm that with the strongest
/// algorithm, of equals the topmost.
///
/// RFC 8760 §2.4 takes the topmost unless a policy says otherwise. Ours does: whoever lists MD5 first, a peer or
/// somebody on the way, does not get MD5 from us while something better is offered.
pub fn strongest(challenges: Vec<Challenge>, is_acceptable: impl Fn(&Challenge) -> bool) -> Option<Challenge> {
    let mut acceptable = challenges.into_iter().filter(is_acceptable);
    let topmost = acceptable.next()?;
    Some(acceptable.fold(topmost, |best, other| {
        let is_rival = other.realm == best.realm && other.proxy == best.proxy;
        if is_rival && other.algorithm > best.algorithm { other } else { best }
    }))
}

/// More challenges than algorithms times realms of any real server.
const MAX_CHALLENGES: usize = 32;

/// A scheme with its parameters: a challenge, or credentials.
#[derive(Debug)]
pub(crate) struct Scheme<'a> {
    name: &'a str,
    params: Vec<(&'a str, String)>,
    /// A parameter came twice, or a value is not UTF-8 or has control characters.
    is_flawed: bool,
}

/// The schemes of a header value. It ends early where the value breaks its grammar.
pub(crate) fn schemes(value: &[u8]) -> impl Iterator<Item = Scheme<'_>> {
    let mut cursor = Cursor::new(value);
    std::iter::from_fn(move || Scheme::take(&mut cursor))
}

impl<'a> Scheme<'a> {
    fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        while cursor.eat_separator(b',') {}
        let name = scan::ascii(cursor.take(scan::TOKEN));
        if name.is_empty() {
            return None;
        }
        cursor.skip_blanks();
        let mut scheme = Self { name, params: Vec::new(), is_flawed: false };
        loop {
            while cursor.eat_separator(b',') {}
            let before = *cursor;
            let name = scan::ascii(cursor.take(scan::TOKEN));
            if name.is_empty() || !cursor.eat_separator(b'=') {
                // The next scheme, the end, or what only a scheme that we do not know understands.
                *cursor = before;
                if !name.is_empty() && scheme.params.is_empty() {
                    cursor.take_until(|c| c == b',');
                }
                return Some(scheme);
            }
            let value = match cursor.peek() {
                Some(b'"') => cursor.take_quoted()?,
                Some(_) | None => trim(cursor.take_until(|c| matches!(c, b',' | b'"') || scan::is_blank(c))),
            };
            scheme.add(name, value);
            cursor.skip_blanks();
            if !matches!(cursor.peek(), None | Some(b',')) {
                return None;
            }
        }
    }

    fn add(&mut self, name: &'a str, raw: &[u8]) {
        let value = if std::str::from_utf8(raw).is_ok() { scan::unquote(raw) } else { String::new() };
        let is_text = std::str::from_utf8(raw).is_ok() && !value.contains(char::is_control);
        self.is_flawed |= !is_text || self.get(name).is_some();
        self.params.push((name, value));
    }

    pub(crate) fn is_digest(&self) -> bool {
        self.name.eq_ignore_ascii_case("Digest")
    }

    pub(crate) fn is_flawed(&self) -> bool {
        self.is_flawed
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn to_challenge(&self, proxy: bool) -> Option<Challenge> {
        if !self.is_digest() || self.is_flawed() {
            return None;
        }
        let algorithm = self.get("algorithm");
        Some(Challenge {
            proxy,
            realm: self.get("realm")?.to_owned(),
            nonce: self.get("nonce").filter(|nonce| !nonce.is_empty())?.to_owned(),
            opaque: self.get("opaque").map(str::to_owned),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), Algorithm::from_name)?,
            names_algorithm: algorithm.is_some(),
            qop: choose_qop(self.get("qop"))?,
            stale: self.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

/// `auth` if it is offered, else `auth-int`; none if none is asked for. `None` when only unknown ones are offered.
fn choose_qop(offered: Option<&str>) -> Option<Option<Qop>> {
    let mut options =
        offered.unwrap_or_default().split(',').map(str::trim).filter(|option| !option.is_empty()).peekable();
    if options.peek().is_none() {
        return Some(None);
    }
    let mut chosen = None;
    for option in options {
        if option.eq_ignore_ascii_case("auth") {
            return Some(Some(Qop::Auth));
        }
        if option.eq_ignore_ascii_case("auth-int") {
            chosen = Some(Some(Qop::AuthInt));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_challenges_may_share_a_line() {
        let value = br#"Basic realm="x", Negotiate YII=, Digest realm="a",nonce=n , Digest realm="b", nonce="m""#;
        let read: Vec<_> = schemes(value).map(|scheme| (scheme.name, scheme.get("realm").map(str::to_owned))).collect();
        let realm = |text: &str| Some(text.to_owned());
        assert_eq!(read, [("Basic", realm("x")), ("Negotiate", None), ("Digest", realm("a")), ("Digest", realm("b"))]);
    }

    #[test]
    fn a_parameter_that_comes_twice_is_a_flaw() {
        let value = br#"Digest username="a",Username="b",realm="r",nonce="n""#;
        assert!(schemes(value).all(|scheme| scheme.is_flawed()));
    }

    #[test]
    fn separators_alone_are_no_challenge() {
        assert!(schemes(br#"Digest     ,   ,, =,= """#).all(|scheme| scheme.to_challenge(false).is_none()));
        assert!(schemes(b"").next().is_none());
        assert!(schemes(b"Digest").all(|scheme| scheme.to_challenge(false).is_none()));
    }

    #[test]
    fn control_characters_cannot_come_back_in_our_answer() {
        let value = b"Digest realm=\"a\\\0\",nonce=\"n\"";
        assert!(schemes(value).all(|scheme| scheme.to_challenge(false).is_none()));
    }
}
