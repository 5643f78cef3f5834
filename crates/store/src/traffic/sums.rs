use crate::DatabaseError;
use crate::row::Columns;

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

            /// The columns in the order of the table.
            pub(crate) const fn columns(&self) -> [i64; SUMS] {
                [$( self.$column ),+]
            }

            /// Reads a row in which the columns have their names.
            pub(crate) fn read<R: Columns>(row: &R) -> Result<Self, DatabaseError> {
                Ok(Self { $( $column: row.integer(stringify!($column))? ),+ })
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
