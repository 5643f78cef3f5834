//! Query parameters: how a list is asked for, and which of its rows are wanted.

mod cursor;
mod filters;
mod list;
mod parameters;

pub(crate) use filters::{
    AgeQuery, AuditFilterQuery, AuditQuery, AuditSortQuery, BeginQuery, CallFilterQuery, CallQuery, KeyFilterQuery,
    KeyQuery, RefusalFilterQuery, RefusalQuery, SortedByAge, SortedByBegin, TrunkFilterQuery, TrunkQuery,
    UserFilterQuery, UserQuery,
};
pub(crate) use list::{AskedExport, AskedList, List, PageQuery, describe};
pub(crate) use parameters::Parameters;
