use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tandem_store::{Position, SortKey};

/// Which list it is that a cursor goes on with: its path, and what it is filtered and sorted by.
#[derive(Clone, Debug)]
pub(super) struct Marker([u8; MARKER_BYTES]);

/// Why a cursor is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CursorError {
    #[error("is no cursor; take it from the Link header as it is")]
    Malformed,
    #[error("is of another list, or of other filters or another sort; keep those of the request that gave it")]
    OtherList,
}

impl Marker {
    pub(super) fn new<'a>(path: &str, filters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut filters: Vec<_> = filters.collect();
        filters.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(path.as_bytes());
        for (name, value) in filters {
            for text in [name, value] {
                hash.update([0]);
                hash.update(text.len().to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        let mut marker = [0; MARKER_BYTES];
        marker.copy_from_slice(&hash.finalize()[..MARKER_BYTES]);
        Self(marker)
    }

    /// What a client gives back to go on there. It holds nothing that the client has not seen, so that it need not be kept from being
    /// made up: whoever does so gets another part of their own list.
    pub(super) fn cursor(&self, position: &Position) -> String {
        let mut bytes = self.0.to_vec();
        serde_json::to_writer(&mut bytes, position).expect("a position is numbers, texts and ids");
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn position(&self, cursor: &str, key: SortKey) -> Result<Position, CursorError> {
        if cursor.len() > MAX_CURSOR {
            return Err(CursorError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Malformed)?;
        let (marker, position) = bytes.split_at_checked(MARKER_BYTES).ok_or(CursorError::Malformed)?;
        let position: Position = serde_json::from_slice(position).map_err(|_| CursorError::Malformed)?;
        if marker != self.0 || !key.has(&position) {
            return Err(CursorError::OtherList);
        }
        Ok(position)
    }
}

/// Enough that two lists of one client do not have the same.
const MARKER_BYTES: usize = 8;
/// A cursor of the longest key, an e-mail address, has some 400.
const MAX_CURSOR: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_store::{API_KEYS_KEY, CALLS_KEY, USERS_KEY};

    fn position(json: &str) -> Position {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let of = |path: &str, filters: &[(&'static str, &'static str)]| Marker::new(path, filters.iter().copied());
        let calls = of("/calls", &[("status", "busy"), ("from", "+1")]);
        let place = position(r#"[{"i":5},{"i":6},{"u":"0198f000-0000-7000-8000-000000000000"}]"#);
        let cursor = calls.cursor(&place);
        assert_eq!(calls.position(&cursor, CALLS_KEY), Ok(place.clone()));
        assert_eq!(of("/calls", &[("from", "+1"), ("status", "busy")]).position(&cursor, CALLS_KEY), Ok(place));
        for other in [of("/calls", &[]), of("/calls", &[("status", "busy"), ("from", "+12")]), of("/refusals", &[])] {
            assert_eq!(other.position(&cursor, CALLS_KEY), Err(CursorError::OtherList));
        }
        assert_eq!(calls.position(&cursor, API_KEYS_KEY), Err(CursorError::OtherList));
        let text = calls.cursor(&position(r#"[{"t":"a"}]"#));
        assert!(calls.position(&text, USERS_KEY).is_ok());
        assert_eq!(calls.position(&text, CALLS_KEY), Err(CursorError::OtherList));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let marker = Marker::new("/calls", std::iter::empty());
        let long = "A".repeat(MAX_CURSOR + 1);
        for wrong in ["", "x", "====", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAA", "%00", &long] {
            assert_eq!(marker.position(wrong, CALLS_KEY), Err(CursorError::Malformed), "{wrong}");
        }
    }
}
