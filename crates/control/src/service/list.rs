use std::future::Future;
use tandem_store::{DatabaseError, Listed, Part, Position};

/// What of a list is asked for.
#[derive(Clone, Debug)]
pub(crate) struct ListRequest<Q> {
    /// Which rows.
    pub(crate) filter: Q,
    /// Which part of them.
    pub(crate) part: Part,
    /// Whether all of them are to be counted.
    pub(crate) count: bool,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// Where the list goes on; `None` at its end.
    pub(crate) next: Option<Position>,
    /// How many rows there are, if that was asked.
    pub(crate) total: Option<Total>,
}

/// How many rows a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    Exact(u64),
    /// More than are counted.
    TooMany,
}

impl<Q> ListRequest<Q> {
    /// Lists, and counts if that is wanted. What is not wanted is not asked for.
    pub(crate) async fn answer<T>(
        &self,
        listed: impl Future<Output = Result<Listed<T>, DatabaseError>>,
        counted: impl Future<Output = Result<Option<u64>, DatabaseError>>,
    ) -> Result<Page<T>, DatabaseError> {
        let Listed { rows, next } = listed.await?;
        let total = if self.count { Some(counted.await?.map_or(Total::TooMany, Total::Exact)) } else { None };
        Ok(Page { rows, next, total })
    }
}

impl<T> Page<T> {
    /// The same with other rows.
    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), next: self.next, total: self.total }
    }
}
