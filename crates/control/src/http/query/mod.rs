//! Query parameters: how a list is asked for, and which of its rows are wanted.

mod cursor;
mod filters;
mod known;
mod list;
mod parameters;

pub(crate) use filters::{
    AgeQuery, AlertFilterQuery, AlertQuery, AuditFilterQuery, AuditQuery, AuditSortQuery, BeginQuery, CallExportQuery,
    CallFilterQuery, CallFormat, CallQuery, CallsToExport, DeliveryFilterQuery, DeliveryQuery, EntryQuery,
    KeyFilterQuery, KeyQuery, NumberFilterQuery, NumberQuery, RefusalFilterQuery, RefusalQuery, RequestQuery,
    SortedByAge, SortedByBegin, SortedByEntry, SortedByRequest, TrunkFilterQuery, TrunkQuery, UserFilterQuery,
    UserQuery, WebhookFilterQuery, WebhookQuery,
};
pub(in crate::http) use filters::{direction, time};
pub(in crate::http) use known::KnownParameters;
pub(crate) use list::{AskedExport, AskedList, List, PageQuery, describe};
pub(crate) use parameters::Parameters;
