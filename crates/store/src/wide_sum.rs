//! Sums that no rows overflow. `sum` of SQLite fails where 64 bits do not hold it, and that of PostgreSQL is then no BIGINT: one row of
//! one account would fail what is read of all. So the upper and the lower half of each value are added up apart, and put together
//! here.

use crate::DatabaseError;
use crate::row::Columns;

/// The sum of the upper halves of an expression.
macro_rules! high_half {
    ($expression:expr) => {
        concat!("CAST(coalesce(sum((", $expression, ") / 4294967296), 0) AS BIGINT)")
    };
}

/// The sum of the lower halves.
macro_rules! low_half {
    ($expression:expr) => {
        concat!("CAST(coalesce(sum((", $expression, ") % 4294967296), 0) AS BIGINT)")
    };
}

/// The columns of a sum: those of the expression's halves, as `name_high` and `name_low`.
macro_rules! wide_sum {
    ($expression:expr, $name:expr) => {
        concat!(
            crate::wide_sum::high_half!($expression),
            " AS ",
            $name,
            "_high, ",
            crate::wide_sum::low_half!($expression),
            " AS ",
            $name,
            "_low"
        )
    };
}

pub(crate) use {high_half, low_half, wide_sum};

/// Reads a sum of [`wide_sum`].
macro_rules! read_wide_sum {
    ($row:expr, $name:expr) => {
        crate::wide_sum::whole($row, concat!($name, "_high"), concat!($name, "_low"))
    };
}

pub(crate) use read_wide_sum;

pub(crate) fn whole<R: Columns>(row: &R, high: &'static str, low: &'static str) -> Result<i128, DatabaseError> {
    Ok(joined(row.integer(high)?, row.integer(low)?))
}

/// The sum of both halves.
pub(crate) fn joined(high: i64, low: i64) -> i128 {
    i128::from(high) * HALF + i128::from(low)
}

/// 2^32: the halves of 2^31 rows fit their sums.
const HALF: i128 = 4_294_967_296;
