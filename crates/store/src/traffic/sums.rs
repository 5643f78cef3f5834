use crate::DatabaseError;
use crate::row::Columns;
use crate::wide_sum::{read_wide_sum, wide_sum};
use tandem_model::Money;

/// Defines the columns that are added up: those that may be `large`, and the others. A large one costs twice as much to add up.
macro_rules! sums {
    ($( $(#[$meta:meta])* $column:ident: $size:ident ),+ $(,)?) => {
        /// What is added up of calls, and of attempts: the legs of calls that the switch carries, and the calls that something else
        /// carries, which have no legs here.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Sums {
            $( $(#[$meta])* pub $column: i64 ),+
        }

        impl Sums {
            /// Adds another's.
            pub fn add(&mut self, other: &Self) {
                $( self.$column = self.$column.saturating_add(other.$column); )+
            }

            /// Takes another's away.
            pub(crate) fn subtract(&mut self, other: &Self) {
                $( self.$column = self.$column.saturating_sub(other.$column); )+
            }

            /// Whether adding it changes nothing.
            pub(crate) fn is_nothing(&self) -> bool {
                *self == Self::default()
            }

            /// What is added to the columns, in the order of the table.
            pub(crate) fn columns(&self) -> [i64; SUMS] {
                [$( self.$column.clamp(-bound!($size), bound!($size)) ),+]
            }

            /// The columns, in the order of the table, and the largest sum that a row holds in each.
            const BOUNDS: [(&str, i64); SUMS] = [$( (stringify!($column), bound!($size)) ),+];

            /// The columns of a statement that adds rows up, each after a comma.
            pub(crate) const ADDED_UP: &str =
                concat!($( ", ", added_up!($size, stringify!($column)) ),+);

            /// Reads a row of [`Self::ADDED_UP`]. What no number holds is the last one.
            pub(crate) fn read<R: Columns>(row: &R) -> Result<Self, DatabaseError> {
                Ok(Self { $( $column: read_sum!($size, row, stringify!($column)) ),+ })
            }
        }
    };
}

macro_rules! bound {
    (count) => {
        COUNT_BOUND
    };
    (large) => {
        LARGE_BOUND
    };
}

macro_rules! added_up {
    (count, $column:expr) => {
        concat!("CAST(coalesce(sum(", $column, "), 0) AS BIGINT) AS ", $column)
    };
    (large, $column:expr) => {
        wide_sum!($column, $column)
    };
}

macro_rules! read_sum {
    (count, $row:expr, $column:expr) => {
        $row.integer($column)?
    };
    (large, $row:expr, $column:expr) => {
        Money::saturating_from(read_wide_sum!($row, $column)?).micros()
    };
}

sums! {
    /// Calls that began.
    calls: count,
    /// Of them, those that were answered.
    calls_answered: count,
    /// Of them, those that ended without an answer.
    calls_failed: count,
    /// Calls that were answered and are over, of which it is known how long they were connected.
    calls_timed: count,
    /// How long those were, in milliseconds.
    calls_ms: large,
    /// What calls cost, in millionths of the currency unit.
    calls_cost_micros: large,
    /// Calls that have a quality score.
    scores: count,
    /// Their scores, in thousandths.
    scores_millis: count,
    /// Attempts that began.
    attempts: count,
    /// Of them, those that were answered.
    attempts_answered: count,
    /// Of them, those that ended without an answer.
    attempts_failed: count,
    /// Of those that were answered or ended, those that reached their callee: answered, busy, rang without answer, rejected there.
    attempts_effective: count,
    /// Attempts that were answered and are over, of which it is known how long they were connected.
    attempts_timed: count,
    /// How long those were, in milliseconds.
    attempts_ms: large,
    /// What attempts cost, in millionths of the currency unit.
    attempts_cost_micros: large,
    /// Time that was billed, in seconds.
    billed_seconds: count,
    /// Outbound attempts that rang or were answered.
    rung: count,
    /// How long it took them to ring, in microseconds.
    rung_us: large,
    /// Attempts whose listening quality was measured.
    heard: count,
    /// Their mean opinion scores, in thousandths.
    heard_mos_millis: count,
}

/// How many columns are added up.
pub(crate) const SUMS: usize = 20;

/// The assignments that add to a stored row, one a column: `sum` gives the expression of a column and the bound of its sum.
pub(crate) fn assignments(sum: impl Fn(&str, i64) -> String) -> String {
    let each = Sums::BOUNDS.map(|(name, bound)| format!("{name} = {}", sum(name, bound)));
    each.join(", ")
}

/// The largest sum that a row holds of amounts and times, either way, and the largest that is added at once: two of them fit 64 bits. A sum
/// that would be larger stays there, as one that did not fit would fail the batch of everybody else.
const LARGE_BOUND: i64 = 4_000_000_000_000_000_000;
/// The same of what grows by some thousands a call, or by the seconds that it may last: rows by the million fit 64 bits together.
const COUNT_BOUND: i64 = 1_000_000_000_000;
