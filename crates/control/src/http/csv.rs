//! CSV (RFC 4180) as the API writes it: one way for every export.

use std::io;

/// The media type.
pub(super) const CSV: &str = "text/csv; charset=utf-8";

/// Lines of CSV, each with its end. Cells that are text of somebody go through [`text`] first.
///
/// # Errors
/// When rows have not all as many cells.
pub(super) fn lines<I, R>(rows: I) -> io::Result<Vec<u8>>
where
    I: IntoIterator<Item = R>,
    R: IntoIterator<Item: AsRef<[u8]>>,
{
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// A text as a cell shows it. Spreadsheets run what begins like a formula, and who calls may choose what their number or name is: such a
/// text gets an apostrophe before it. A telephone number, `+` and digits alone, is what it says in every spreadsheet, and stays as it is.
pub(super) fn text(text: &str) -> String {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Some spreadsheets pass over what is blank before a formula, and take the wide forms for the narrow ones.
    let begins_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if !is_number && (begins_formula || text.starts_with(['\t', '\r', '\n'])) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_formula_and_a_number_stays_one() {
        for (value, shown) in [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+12025550100", "+12025550100"),
            ("+1202", "+1202"),
            ("12025550100", "12025550100"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("+1202 555", "'+1202 555"),
            ("+", "'+"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("plain", "plain"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(text(value), shown);
        }
    }

    #[test]
    fn a_cell_is_one_column_whatever_is_in_it() {
        let written = lines([["a", "b"], ["x, \"y\"", "two\r\nlines"]]).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "a,b\r\n\"x, \"\"y\"\"\",\"two\r\nlines\"\r\n");
    }
}
