use crate::DatabaseError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use std::fmt::Display;
use std::str::FromStr;
use tandem_model::{JsonText, Money, Receipt, Timestamp};
use uuid::Uuid;

/// Reads columns by name, the same for every backend. What is wrong with a value is told with its column, never with the value.
pub(crate) trait Columns {
    fn uuid(&self, column: &'static str) -> Result<Uuid, DatabaseError>;
    fn uuid_opt(&self, column: &'static str) -> Result<Option<Uuid>, DatabaseError>;
    fn text(&self, column: &'static str) -> Result<String, DatabaseError>;
    fn text_opt(&self, column: &'static str) -> Result<Option<String>, DatabaseError>;
    fn integer(&self, column: &'static str) -> Result<i64, DatabaseError>;
    fn integer_opt(&self, column: &'static str) -> Result<Option<i64>, DatabaseError>;
    fn real_opt(&self, column: &'static str) -> Result<Option<f64>, DatabaseError>;
    fn boolean(&self, column: &'static str) -> Result<bool, DatabaseError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, DatabaseError>;
    fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, DatabaseError>;

    fn parsed<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<T, DatabaseError> {
        parse(column, &self.text(column)?)
    }

    fn parsed_opt<T: FromStr<Err: Display>>(&self, column: &'static str) -> Result<Option<T>, DatabaseError> {
        self.text_opt(column)?.map(|text| parse(column, &text)).transpose()
    }

    fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, DatabaseError> {
        narrow(column, self.integer(column)?)
    }

    fn number_opt<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, DatabaseError> {
        self.integer_opt(column)?.map(|number| narrow(column, number)).transpose()
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, DatabaseError> {
        self.integer(column).map(Timestamp::from_unix_micros)
    }

    fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, DatabaseError> {
        Ok(self.integer_opt(column)?.map(Timestamp::from_unix_micros))
    }

    fn money(&self, column: &'static str) -> Result<Money, DatabaseError> {
        self.integer(column).map(Money::from_micros)
    }

    fn money_opt(&self, column: &'static str) -> Result<Option<Money>, DatabaseError> {
        Ok(self.integer_opt(column)?.map(Money::from_micros))
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, DatabaseError> {
        read_json(column, &self.text(column)?)
    }

    fn json_opt<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, DatabaseError> {
        self.text_opt(column)?.map(|text| read_json(column, &text)).transpose()
    }
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn uuid(&self, column: &'static str) -> Result<Uuid, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn uuid_opt(&self, column: &'static str) -> Result<Option<Uuid>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn text(&self, column: &'static str) -> Result<String, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn text_opt(&self, column: &'static str) -> Result<Option<String>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn integer(&self, column: &'static str) -> Result<i64, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn integer_opt(&self, column: &'static str) -> Result<Option<i64>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn real_opt(&self, column: &'static str) -> Result<Option<f64>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn boolean(&self, column: &'static str) -> Result<bool, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn bytes(&self, column: &'static str) -> Result<Vec<u8>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
            fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, DatabaseError> {
                Ok(self.try_get(column)?)
            }
        }
    };
}

columns_of!(SqliteRow);
columns_of!(PgRow);

fn parse<T: FromStr<Err: Display>>(column: &'static str, text: &str) -> Result<T, DatabaseError> {
    text.parse().map_err(|error: T::Err| DatabaseError::Unreadable { column, reason: error.to_string() })
}

fn narrow<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, DatabaseError> {
    T::try_from(number).map_err(|_| DatabaseError::Unreadable { column, reason: "the number is out of range".into() })
}

fn read_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| not_the_json(column, &error))
}

fn not_the_json(column: &'static str, error: &serde_json::Error) -> DatabaseError {
    // The message of serde_json may quote the value.
    let reason = format!("not the JSON it should be, at line {} column {}", error.line(), error.column());
    DatabaseError::Unreadable { column, reason }
}

/// The receipt of a stored call or refusal.
///
/// # Errors
/// [`DatabaseError::Unreadable`].
pub fn read_receipt(receipt: &JsonText<Receipt>) -> Result<Receipt, DatabaseError> {
    receipt.read().map_err(|error| not_the_json("receipt", &error))
}

/// A count as the database holds it. Counts beyond 2^63 do not occur; one would be stored as 2^63 - 1 rather than lose its row.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// `limit` and `skip` of a list as they are bound.
pub(crate) fn page(skip: u32, limit: u32) -> (i64, i64) {
    (i64::from(limit.min(crate::MAX_PAGE)), i64::from(skip))
}

/// A value as JSON text.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("only values with text keys are stored as JSON")
}
