//! Character classes and the cursor that the parsers share.
//!
//! The parsers take a value as the index cut it: line folds are still in it, and they count as blanks.

use std::borrow::Cow;

use wide::u8x16;

/// `token` (RFC 3261 §25.1).
pub(crate) const TOKEN: u16 = 1;
/// A host name; with `_`, which real ones have.
pub(crate) const HOST: u16 = 1 << 1;
/// What may stand unescaped in a user: `unreserved` and `user-unreserved`.
pub(crate) const USER: u16 = 1 << 2;
/// What may stand unescaped in a password.
pub(crate) const PASSWORD: u16 = 1 << 3;
/// What may stand unescaped in a URI parameter: `paramchar`.
pub(crate) const URI_PARAM: u16 = 1 << 4;
/// What may stand unescaped in a URI header: `hnv-unreserved` and `unreserved`.
pub(crate) const URI_HEADER: u16 = 1 << 5;
/// `unreserved`: what need never be escaped.
pub(crate) const UNRESERVED: u16 = 1 << 6;
/// A header parameter's value without quotes. More than token and host: peers send Base64 tags and bare IPv6.
pub(crate) const PLAIN_VALUE: u16 = 1 << 7;
/// What a user is made of on the wire beside escapes: [`USER`], and `#`, which dial strings have and peers do not
/// escape.
pub(crate) const RAW_USER: u16 = 1 << 8;
/// What a URI parameter is made of on the wire beside escapes: [`URI_PARAM`] and `=`.
pub(crate) const RAW_URI_PARAM: u16 = 1 << 9;
/// What the headers of a URI are made of on the wire: [`URI_HEADER`], escapes, `=` and `&`.
pub(crate) const RAW_URI_HEADERS: u16 = 1 << 10;
/// `%`, which begins an escape.
pub(crate) const ESCAPE: u16 = 1 << 11;
/// What is visible: all of ASCII but controls and the blank.
pub(crate) const GRAPHIC: u16 = 1 << 12;

static CLASSES: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut c: u8 = 0x21;
    while c < 0x7f {
        let alphanumeric = c.is_ascii_alphanumeric();
        let unreserved = alphanumeric || is_one_of(c, b"-_.!~*'()");
        let mut class = GRAPHIC;
        if alphanumeric || is_one_of(c, b"-.!%*_+`'~") {
            class |= TOKEN;
        }
        if alphanumeric || is_one_of(c, b"-._") {
            class |= HOST;
        }
        if unreserved {
            class |= UNRESERVED;
        }
        if unreserved || is_one_of(c, b"&=+$,;?/") {
            class |= USER;
        }
        if unreserved || is_one_of(c, b"&=+$,;?/#") {
            class |= RAW_USER;
        }
        if unreserved || is_one_of(c, b"[]/:&+$=") {
            class |= RAW_URI_PARAM;
        }
        if unreserved || is_one_of(c, b"[]/?:+$%=&") {
            class |= RAW_URI_HEADERS;
        }
        if c == b'%' {
            class |= ESCAPE;
        }
        if unreserved || is_one_of(c, b"&=+$,") {
            class |= PASSWORD;
        }
        if unreserved || is_one_of(c, b"[]/:&+$") {
            class |= URI_PARAM;
        }
        if unreserved || is_one_of(c, b"[]/?:+$") {
            class |= URI_HEADER;
        }
        if !is_one_of(c, b";,\"<>\\") {
            class |= PLAIN_VALUE;
        }
        table[c as usize] = class;
        c += 1;
    }
    table
}

const fn is_one_of(c: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == c {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether the octet is in one of the classes.
#[inline]
pub(crate) fn is(c: u8, class: u16) -> bool {
    CLASSES[usize::from(c)] & class != 0
}

/// How many octets of one class the text begins with.
#[inline]
pub(crate) fn run(text: &[u8], class: u16) -> usize {
    debug_assert!(class.is_power_of_two(), "the octets of a chunk are tested together");
    let mut rest = text;
    // Four at a time: one branch instead of four, and most runs are longer.
    while let Some(([a, b, c, d], after)) = rest.split_first_chunk::<4>()
        && classes_of(*a) & classes_of(*b) & classes_of(*c) & classes_of(*d) & class != 0
    {
        rest = after;
    }
    while let Some((c, after)) = rest.split_first()
        && is(*c, class)
    {
        rest = after;
    }
    text.len() - rest.len()
}

#[inline]
fn classes_of(c: u8) -> u16 {
    CLASSES[usize::from(c)]
}

/// Whether the text is not empty and all of it is in the class.
#[inline]
pub(crate) fn all(text: &[u8], class: u16) -> bool {
    !text.is_empty() && run(text, class) == text.len()
}

/// SP, HTAB, and CR and LF, which are parts of line folds here.
#[inline]
pub(crate) fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without blanks at both ends.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    // Nearly all values have one blank before them and no other.
    if let [b' ', inside @ ..] = text
        && let [first, .., last] = inside
        && *first > b' '
        && *last > b' '
    {
        return inside;
    }
    trim_end(trim_start(text))
}

#[inline]
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    text
}

#[inline]
pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// Whether the text is that name in any case. The usual spelling is looked for first, in a few instructions.
#[inline]
pub(crate) fn is_name<const N: usize>(text: &[u8], name: &[u8; N]) -> bool {
    text == name || text.eq_ignore_ascii_case(name)
}

/// Text that is known to be ASCII, because its characters were checked; empty if it is not.
#[inline]
pub(crate) fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// A decimal number of digits only; `None` for none, anything else, or one over `u64`.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, c| {
        let digit = c.is_ascii_digit().then(|| u64::from(c - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The offset of the first CR, LF or NUL at or after `from`.
pub(crate) fn find_break(bytes: &[u8], from: usize) -> Option<usize> {
    let mut breaks = Breaks::new(bytes, from);
    loop {
        let at = breaks.next()?;
        if matches!(bytes.get(at), Some(b'\r' | b'\n' | 0)) {
            return Some(at);
        }
    }
}

/// The offsets of all octets up to CR, in order: CR, LF, NUL, HTAB, and others that are never sent.
///
/// They are found a block at a time, without a branch for an octet or for a line, because lines of unforeseeable length are what
/// costs most in a reader that goes from one to the next.
#[derive(Debug, Clone)]
pub(crate) struct Breaks<'a> {
    bytes: &'a [u8],
    /// Where the block of the marks begins.
    base: usize,
    /// A bit for each octet of the block that may be one, the first lowest. Those that were taken are gone.
    marks: u64,
}

/// Octets of a block: one for each bit of a word.
const BLOCK: usize = 64;

impl<'a> Breaks<'a> {
    /// Those at or after `from`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], from: usize) -> Self {
        Self { bytes, base: from, marks: marks_at(bytes, from).unwrap_or(0) }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        while self.marks == 0 {
            self.base += BLOCK;
            self.marks = marks_at(self.bytes, self.base)?;
        }
        let at = self.base + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(at)
    }
}

/// The marks of the block that begins at `base`. `None` when nothing is there.
#[inline]
fn marks_at(bytes: &[u8], base: usize) -> Option<u64> {
    let rest = bytes.get(base..).filter(|rest| !rest.is_empty())?;
    match rest.first_chunk::<BLOCK>() {
        Some(block) => Some(marks(block)),
        None => Some(marks_of_rest(rest)),
    }
}

#[inline]
fn marks(block: &[u8; BLOCK]) -> u64 {
    let (quarters, _) = block.as_chunks::<16>();
    let mark = |quarter: &[u8; 16]| u64::from(u8x16::new(*quarter).simd_le(u8x16::splat(b'\r')).to_bitmask());
    quarters.iter().rev().fold(0, |marks, quarter| marks << 16 | mark(quarter))
}

/// The marks of a block that the end cuts short.
#[cold]
#[inline(never)]
fn marks_of_rest(rest: &[u8]) -> u64 {
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    marks(&block)
}

/// The offset of the first of either octet.
#[inline]
pub(crate) fn find(bytes: &[u8], one: u8, other: u8) -> Option<usize> {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
        let octets = u8x16::new(*chunk);
        let found = (octets.simd_eq(u8x16::splat(one)) | octets.simd_eq(u8x16::splat(other))).to_bitmask();
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize);
        }
        rest = after;
    }
    rest.iter().position(|&c| c == one || c == other).map(|offset| bytes.len() - rest.len() + offset)
}

/// Replaces each line fold (CRLF and the blanks around it) by one space (RFC 3261 §7.3.1).
pub(crate) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\r') {
        return Cow::Borrowed(value);
    }
    let mut unfolded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&c| c == b'\r') {
        let (line, fold) = rest.split_at(at);
        unfolded.extend_from_slice(trim_end(line));
        unfolded.push(b' ');
        rest = trim_start(fold);
    }
    unfolded.extend_from_slice(rest);
    Cow::Owned(unfolded)
}

/// The text of a quoted string: quoted-pairs undone, folds made a space, octets that are not UTF-8 replaced.
pub(crate) fn unquote(raw: &[u8]) -> String {
    let unfolded = unfold(raw);
    if !unfolded.contains(&b'\\') {
        return String::from_utf8_lossy(&unfolded).into_owned();
    }
    let mut text = Vec::with_capacity(unfolded.len());
    let mut octets = unfolded.iter();
    while let Some(&c) = octets.next() {
        if c == b'\\' {
            text.extend(octets.next());
        } else {
            text.push(c);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes a quoted string. `"`, `\` and control characters are quoted-pairs; CR and LF, which cannot be, are spaces.
pub(crate) fn write_quoted(f: &mut impl std::fmt::Write, text: &str) -> std::fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' | '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            '\r' | '\n' => f.write_char(' ')?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

/// A place in a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Goes past that octet, if it is the next one.
    #[inline]
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        if let [first, rest @ ..] = self.rest
            && *first == octet
        {
            self.rest = rest;
            return true;
        }
        false
    }

    /// Goes past those octets, if they are the next ones.
    #[inline]
    pub(crate) fn eat_all<const N: usize>(&mut self, octets: &[u8; N]) -> bool {
        if let Some((first, rest)) = self.rest.split_first_chunk::<N>()
            && first == octets
        {
            self.rest = rest;
            return true;
        }
        false
    }

    /// Goes past that octet and the blanks around it, if it is the next one after blanks.
    #[inline]
    pub(crate) fn eat_separator(&mut self, octet: u8) -> bool {
        self.skip_blanks();
        let found = self.eat(octet);
        if found {
            self.skip_blanks();
        }
        found
    }

    #[inline]
    pub(crate) fn skip_blanks(&mut self) {
        // One comparison where there are none, as nearly everywhere.
        if self.peek().is_some_and(|c| c <= b' ') {
            self.rest = trim_start(self.rest);
        }
    }

    /// Takes octets of the class, maybe none.
    #[inline]
    pub(crate) fn take(&mut self, class: u16) -> &'a [u8] {
        self.split(run(self.rest, class))
    }

    /// Takes octets of the class and escapes, maybe none, and says whether an escape may be among them.
    #[inline]
    pub(crate) fn take_with_escapes(&mut self, class: u16) -> (&'a [u8], bool) {
        let mut end = run(self.rest, class);
        let has_escapes = self.rest.get(end) == Some(&b'%');
        if has_escapes {
            end = self.rest.iter().position(|&c| !is(c, class | ESCAPE)).unwrap_or(self.rest.len());
        }
        (self.split(end), has_escapes)
    }

    /// Takes what is before the first octet that `stops` knows, or all.
    #[inline]
    pub(crate) fn take_until(&mut self, stops: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&c| stops(c)).unwrap_or(self.rest.len());
        self.split(end)
    }

    /// Takes what is before the first of either octet, or all.
    #[inline]
    pub(crate) fn take_to(&mut self, one: u8, other: u8) -> &'a [u8] {
        self.split(find(self.rest, one, other).unwrap_or(self.rest.len()))
    }

    /// Takes the inside of a quoted string, quoted-pairs and folds still in it. `None` when no quote is next or the
    /// string does not end.
    #[inline]
    pub(crate) fn take_quoted(&mut self) -> Option<&'a [u8]> {
        if !self.eat(b'"') {
            return None;
        }
        let mut end = 0;
        loop {
            let rest = self.rest.get(end..)?;
            let at = find(rest, b'"', b'\\')?;
            end += at;
            if rest.get(at) == Some(&b'"') {
                break;
            }
            end += 2; // a quoted-pair
        }
        let inside = self.split(end);
        self.split(1);
        Some(inside)
    }

    #[inline]
    fn split(&mut self, end: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// The elements of a comma list, trimmed; empty ones are skipped. Commas in quotes and in `<>` do not split.
#[derive(Debug, Clone)]
pub(crate) struct List<'a> {
    rest: &'a [u8],
}

impl<'a> List<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = element_end(self.rest);
            let (element, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// The offset of the first comma outside quotes and `<>`, or the length.
fn element_end(list: &[u8]) -> usize {
    let mut quoted = false;
    let mut in_brackets = false;
    let mut at = 0;
    while let Some(c) = list.get(at) {
        match c {
            b'\\' if quoted => at += 1,
            b'"' if !in_brackets => quoted = !quoted,
            b'<' if !quoted => in_brackets = true,
            b'>' if !quoted => in_brackets = false,
            b',' if !quoted && !in_brackets => return at,
            _ => {}
        }
        at += 1;
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_breaks_at_every_offset() {
        for offset in 0..40 {
            for sought in [b'\r', b'\n', 0] {
                let mut text = vec![b'\t'; 40];
                text[offset] = sought;
                assert_eq!(find_break(&text, 0), Some(offset));
                assert_eq!(find_break(&text, offset + 1), None);
            }
        }
        assert_eq!(find_break(b"", 0), None);
        assert_eq!(find_break("é\x01\x0b\x7f ".repeat(4).as_bytes(), 0), None);
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let elements: Vec<_> = List::new(br#" "a, \", b" <sip:c,d@e> , ,x;y="1,2", <a,b>"#).collect();
        assert_eq!(elements, [&br#""a, \", b" <sip:c,d@e>"#[..], br#"x;y="1,2""#, b"<a,b>"]);
    }

    #[test]
    fn unfolding_leaves_one_space() {
        assert_eq!(&*unfold(b"a \r\n\t b\r\n c"), b"a b c");
    }

    #[test]
    fn unquoting_undoes_quoted_pairs_once() {
        assert_eq!(unquote(br#"a\\\"b\c"#), r#"a\"bc"#);
        assert_eq!(unquote(b"A\xff B"), "A\u{fffd} B");
    }

    #[test]
    fn an_unterminated_quoted_string_is_none() {
        assert!(Cursor::new(br#""abc\"#).take_quoted().is_none());
        assert!(Cursor::new(br#""abc\""#).take_quoted().is_none());
        assert_eq!(Cursor::new(br#""a\"b" x"#).take_quoted(), Some(&br#"a\"b"#[..]));
    }
}
