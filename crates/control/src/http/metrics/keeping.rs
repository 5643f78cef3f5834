use super::exposition::{Exposition, Kind};
use crate::Services;

/// What this node has removed and erased.
pub(super) fn expose(services: &Services, exposition: &mut Exposition) {
    let help = "Rows removed because they are kept no longer, by kind.";
    let mut removed = exposition.family("tandem_retention_removed_rows_total", Kind::Counter, help);
    for (kind, count) in services.keeping.removed() {
        removed.sample(&[("kind", kind)], count);
    }
    let help = "Rows from which a number was erased, by kind.";
    let mut erased = exposition.family("tandem_erased_rows_total", Kind::Counter, help);
    for (kind, count) in services.erasures.rows() {
        erased.sample(&[("kind", kind)], count);
    }
}
