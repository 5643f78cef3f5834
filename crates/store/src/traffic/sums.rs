use crate::DatabaseError;
use crate::row::Columns;
use crate::wide_sum::{read_wide_sum, wide_sum};
use tandem_model::Money;

/// Defines the columns that are added up.
macro_rules! sums {
    ($( $(#[$meta:meta])* $column:ident ),+ $(,)?) => {
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
                [$( self.$column.clamp(-SUM_BOUND, SUM_BOUND) ),+]
            }

            /// The names of the columns, in the order of the table.
            const NAMES: [&str; SUMS] = [$( stringify!($column) ),+];

            /// The columns of a statement that adds rows up, each after a comma.
            pub(crate) const ADDED_UP: &str =
                concat!($( ", ", wide_sum!(stringify!($column), stringify!($column)) ),+);

            /// Reads a row of [`Self::ADDED_UP`]. What no number holds is the last one.
            pub(crate) fn read<R: Columns>(row: &R) -> Result<Self, DatabaseError> {
                let bounded = |sum| Money::saturating_from(sum).micros();
                Ok(Self { $( $column: bounded(read_wide_sum!(row, stringify!($column))?) ),+ })
            }
        }
    };
}

sums! {
    /// Calls that began.
    calls,
    /// Of them, those that were answered.
    calls_answered,
    /// Of them, those that ended without an answer.
    calls_failed,
    /// Calls that were answered and are over, of which it is known how long they were connected.
    calls_timed,
    /// How long those were, in milliseconds.
    calls_ms,
    /// What calls cost, in millionths of the currency unit.
    calls_cost_micros,
    /// Calls that have a quality score.
    scores,
    /// Their scores, in thousandths.
    scores_millis,
    /// Attempts that began.
    attempts,
    /// Of them, those that were answered.
    attempts_answered,
    /// Of them, those that ended without an answer.
    attempts_failed,
    /// Of those that were answered or ended, those that reached their callee: answered, busy, rang without answer, rejected there.
    attempts_effective,
    /// Attempts that were answered and are over, of which it is known how long they were connected.
    attempts_timed,
    /// How long those were, in milliseconds.
    attempts_ms,
    /// What attempts cost, in millionths of the currency unit.
    attempts_cost_micros,
    /// Time that was billed, in seconds.
    billed_seconds,
    /// Outbound attempts that rang or were answered.
    rung,
    /// How long it took them to ring, in microseconds.
    rung_us,
    /// Attempts whose listening quality was measured.
    heard,
    /// Their mean opinion scores, in thousandths.
    heard_mos_millis,
}

/// How many columns are added up.
pub(crate) const SUMS: usize = 20;

/// The assignments that add to a stored row, one a column: `sum` gives the expression of a column and the bound of its sum.
pub(crate) fn assignments(sum: impl Fn(&str, i64) -> String) -> String {
    let each = Sums::NAMES.map(|name| format!("{name} = {}", sum(name, SUM_BOUND)));
    each.join(", ")
}

/// The largest sum that a row holds, either way, and the largest that is added at once: two of them fit 64 bits. A sum that would be larger
/// stays there, as one that did not fit would fail the batch of everybody else.
const SUM_BOUND: i64 = 4_000_000_000_000_000_000;
