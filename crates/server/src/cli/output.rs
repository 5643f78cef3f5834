use serde::Serialize;
use std::io::{self, Write};

/// Standard output: tables for people, JSON for machines.
pub(super) struct Output {
    json: bool,
}

/// Rows under a heading, in columns as wide as they must be.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// The value for machines, or the text for people.
    pub(super) fn answer(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        if self.json { self.json(value) } else { self.raw(text().as_bytes()) }
    }

    /// A value over several lines.
    pub(super) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.raw(&text)
    }

    /// A value on one line, for streams.
    pub(super) fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.raw(&text)
    }

    /// Bytes as they are.
    #[expect(clippy::unused_self, reason = "whoever writes to standard output has the output")]
    pub(super) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }
}

impl Output {
    /// A word to people beside the answer, on standard error.
    pub(super) fn remark(text: &str) {
        // Nothing is lost when nobody listens.
        let _ = writeln!(io::stderr(), "{}", printable(text));
    }
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row; empty cells show as a hyphen.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { printable(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// What others have written must not move the cursor or hide text: control and direction characters become `�`.
pub(super) fn printable(text: &str) -> String {
    let is_harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if is_harmful(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

/// A moment to the second, from RFC 3339 text.
pub(super) fn to_the_second(moment: &str) -> String {
    match moment.get(..SECONDS_LENGTH) {
        Some(seconds) if moment.ends_with('Z') => format!("{seconds}Z"),
        Some(_) | None => moment.to_owned(),
    }
}

/// `2026-01-31T12:00:00`.
const SECONDS_LENGTH: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "TIER"]);
        table.row(["zürich".to_owned(), "pro".to_owned()]);
        table.row(["a".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "NAME    TIER\nzürich  pro\na       -\n");
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
    }

    #[test]
    fn moments_are_shown_to_the_second() {
        assert_eq!(to_the_second("2026-01-31T12:00:00.000250Z"), "2026-01-31T12:00:00Z");
        assert_eq!(to_the_second("2026-01-31T12:00:00+01:00"), "2026-01-31T12:00:00+01:00");
        assert_eq!(to_the_second("soon"), "soon");
    }
}
