/// Why a secret could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with another key, belongs to another row, or was changed.
    #[error("a sealed secret in {table}.{column} does not open: another key sealed it, or the row was changed by hand")]
    DoesNotOpen {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A newer build has sealed it.
    #[error("a sealed secret in {table}.{column} has format {version}, which this build does not know")]
    UnknownFormat {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The version byte.
        version: u8,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}
