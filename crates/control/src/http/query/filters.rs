//! The filters of each list, as they are read and as the OpenAPI document shows them.

use super::list::ListQuery;
use super::parameters::Parameters;
use crate::http::model_schema;
use crate::http::problem::Problem;
use crate::service::{AuditSearch, TrunkSearch};
use crate::wire::nearest;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::fmt::Display;
use tandem_model::{CallDirection, CallStatus, Reason, Role, Timestamp, TrunkId};
use tandem_store::{
    ALERTS_KEY, API_KEYS_KEY, AUDIT_LOG_KEY, AlertFilter, AuditFilter, CALLS_KEY, CREDIT_ENTRIES_KEY, CallFilter,
    DeliveryFilter, ERASURES_KEY, HEALTH_HISTORY_KEY, NUMBERS_KEY, REFUSALS_KEY, RefusalFilter, SortKey, TrunkFilter,
    TrunkSort, USERS_KEY, WEBHOOK_DELIVERIES_KEY, WEBHOOK_ENDPOINTS_KEY,
};
use utoipa::IntoParams;
use uuid::Uuid;

/// Which calls, and in what order.
#[derive(Clone, Debug)]
pub(crate) struct CallQuery {
    filter: CallFilter,
    oldest_first: bool,
}

/// Which calls are wanted. `status` (of several statuses), `direction`, `hangup_cause`, `metadata.KEY`, and all but one of the others
/// are looked for in 10,000 calls at a time: there may be more though a page is short, or empty, as long as it has a `next` link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; CallQuery is read by Parameters")]
pub(crate) struct CallFilterQuery {
    /// Only calls whose first trunk leg went over this trunk.
    trunk_id: Option<Uuid>,
    /// Only calls of this conversation.
    conversation_id: Option<Uuid>,
    /// Only calls from this number, as the call log shows it.
    #[param(min_length = 1, max_length = 64)]
    from: Option<String>,
    /// Only calls to this number, as the call log shows it.
    #[param(min_length = 1, max_length = 64)]
    to: Option<String>,
    /// Only calls of one of these statuses.
    #[param(style = Form, explode = false, inline, value_type = Option<Vec<model_schema::CallStatus>>)]
    status: (),
    /// Only calls of this direction.
    #[param(inline, value_type = Option<model_schema::CallDirection>)]
    direction: (),
    /// Only calls that ended for this cause.
    #[param(min_length = 1, max_length = 50)]
    hangup_cause: Option<String>,
    /// Only calls that began then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    started_after: (),
    /// Only calls that began earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    started_before: (),
    /// `-started_at` (the newest first) or `started_at`.
    #[param(pattern = "^-?started_at$", default = "-started_at")]
    sort: Option<String>,
}

impl ListQuery for CallQuery {
    type Filter = CallFilter;

    fn read(sent: &mut Parameters) -> Self {
        let metadata = sent.family(METADATA);
        if metadata.len() > MAX_MEMBERS {
            sent.refuse("metadata", format!("at most {MAX_MEMBERS} members can be asked for at once"));
        }
        for (key, value) in &metadata {
            if !(1..=MAX_KEY).contains(&key.chars().count()) || value.chars().count() > MAX_VALUE {
                let message =
                    format!("a member has a name of 1 to {MAX_KEY} characters and a value of at most {MAX_VALUE}");
                sent.refuse("metadata", message);
            }
        }
        let filter = CallFilter {
            trunk_id: sent.read("trunk_id", UUID_MESSAGE),
            conversation_id: sent.read("conversation_id", UUID_MESSAGE),
            from_number: sent.read_with("from", number),
            to_number: sent.read_with("to", number),
            statuses: sent.several("status", CallStatus::parse_lenient),
            direction: sent.read_with("direction", direction),
            hangup_cause: sent.read_with("hangup_cause", |text| plain(text, 50)),
            started_from: sent.read_with("started_after", time),
            started_before: sent.read_with("started_before", time),
            metadata,
        };
        let oldest_first = is_reversed(sent, &["-started_at", "started_at"]);
        Self { filter, oldest_first }
    }

    fn key(&self) -> SortKey {
        CALLS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> CallFilter {
        self.filter
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        (!self.filter.is_narrow()).then_some(
            "goes only with time and one of trunk_id, from, to and conversation_id; else follow the Link header's next",
        )
    }

    fn why_no_count(&self) -> Option<&'static str> {
        (!self.filter.metadata.is_empty()).then_some("does not go with metadata, which are looked at part by part")
    }
}

/// How calls are exported, as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the field is documentation; it is read by Parameters")]
pub(crate) struct CallExportQuery {
    /// `csv`, or `ndjson`: a JSON object a line.
    #[param(pattern = "^(csv|ndjson)$", default = "ndjson")]
    format: Option<String>,
}

/// How calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFormat {
    Csv,
    Ndjson,
}

/// Which calls to export, and how.
#[derive(Debug)]
pub(crate) struct CallsToExport {
    pub(crate) filter: CallFilter,
    pub(crate) oldest_first: bool,
    pub(crate) format: CallFormat,
}

impl<S: Sync> FromRequestParts<S> for CallsToExport {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = Parameters::of(parts);
        let CallQuery { filter, oldest_first } = CallQuery::read(&mut sent);
        let known = |text: &str| match text {
            "csv" => Ok(CallFormat::Csv),
            "ndjson" => Ok(CallFormat::Ndjson),
            _ => Err("must be csv or ndjson"),
        };
        let format = sent.read_with("format", known).unwrap_or(CallFormat::Ndjson);
        sent.finish(Self { filter, oldest_first, format })
    }
}

/// Which refusals, and in what order.
#[derive(Clone, Debug)]
pub(crate) struct RefusalQuery {
    filter: RefusalFilter,
    oldest_first: bool,
}

/// Which refusals are wanted. `from`, `to` and `reason` are looked for in 10,000 refusals at a time: there may be more though a page is
/// short, or empty, as long as it has a `next` link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; RefusalQuery is read by Parameters")]
pub(crate) struct RefusalFilterQuery {
    /// Only those that came in by this trunk.
    trunk_id: Option<Uuid>,
    /// Only those from this number, as the list shows it.
    #[param(min_length = 1, max_length = 64)]
    from: Option<String>,
    /// Only those to this number, as the list shows it.
    #[param(min_length = 1, max_length = 64)]
    to: Option<String>,
    /// Only those for this reason, by its code.
    #[param(min_length = 1, max_length = 64)]
    reason: Option<String>,
    /// Only those then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    refused_after: (),
    /// Only those that were earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    refused_before: (),
    /// `-at` (the newest first) or `at`.
    #[param(pattern = "^-?at$", default = "-at")]
    sort: Option<String>,
}

impl ListQuery for RefusalQuery {
    type Filter = RefusalFilter;

    fn read(sent: &mut Parameters) -> Self {
        let filter = RefusalFilter {
            trunk_id: sent.read("trunk_id", UUID_MESSAGE),
            from_number: sent.read_with("from", number),
            to_number: sent.read_with("to", number),
            reason: sent.read_with("reason", reason),
            from: sent.read_with("refused_after", time),
            before: sent.read_with("refused_before", time),
        };
        Self { filter, oldest_first: is_reversed(sent, &["-at", "at"]) }
    }

    fn key(&self) -> SortKey {
        REFUSALS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> RefusalFilter {
        self.filter
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        (!self.filter.is_narrow()).then_some("does not go with from, to and reason; follow the Link header's next")
    }
}

/// Which alerts, and in what order.
#[derive(Clone, Debug)]
pub(crate) struct AlertQuery {
    filter: AlertFilter,
    oldest_first: bool,
}

/// Which alerts are wanted. `state`, `rule`, `severity` and `subject` are looked for in 10,000 alerts at a time: there may be more though
/// a page is short, or empty, as long as it has a `next` link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; AlertQuery is read by Parameters")]
pub(crate) struct AlertFilterQuery {
    /// Only alerts in one of these states.
    #[param(style = Form, explode = false, inline, value_type = Option<Vec<model_schema::AlertState>>)]
    state: (),
    /// Only alerts of this rule.
    #[param(inline, value_type = Option<model_schema::AlertRule>)]
    rule: (),
    /// Only alerts of this severity.
    #[param(inline, value_type = Option<model_schema::AlertSeverity>)]
    severity: (),
    /// Only alerts about this, as `trunks/` with an id.
    #[param(min_length = 1, max_length = 100)]
    subject: Option<String>,
    /// Only those that were raised then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    raised_after: (),
    /// Only those that were raised earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    raised_before: (),
    /// `-raised_at` (the newest first) or `raised_at`.
    #[param(pattern = "^-?raised_at$", default = "-raised_at")]
    sort: Option<String>,
}

impl ListQuery for AlertQuery {
    type Filter = AlertFilter;

    fn read(sent: &mut Parameters) -> Self {
        let filter = AlertFilter {
            states: sent.several("state", str::parse),
            rule: sent.parse("rule"),
            severity: sent.parse("severity"),
            subject: sent.read_with("subject", |text| plain(text, 100)),
            from: sent.read_with("raised_after", time),
            before: sent.read_with("raised_before", time),
        };
        Self { filter, oldest_first: is_reversed(sent, &["-raised_at", "raised_at"]) }
    }

    fn key(&self) -> SortKey {
        ALERTS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> AlertFilter {
        self.filter
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        (!self.filter.is_narrow()).then_some("goes only with time; else follow the Link header's next")
    }
}

/// Which trunks, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrunkQuery {
    search: TrunkSearch,
    reversed: bool,
}

/// Which trunks are wanted. With `health`, a page may be short, or empty, though there are more, as long as it has a `next` link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; TrunkQuery is read by Parameters")]
pub(crate) struct TrunkFilterQuery {
    /// Only trunks of this status.
    #[param(inline, value_type = Option<model_schema::TrunkStatus>)]
    status: (),
    /// Only trunks of this provider.
    #[param(inline, value_type = Option<model_schema::Provider>)]
    provider: (),
    /// Only trunks of this health, as it is now.
    #[param(inline, value_type = Option<model_schema::HealthStatus>)]
    health: (),
    /// `priority` (then age), `name`, `created_at` or `cost_per_minute`, or one with `-` for the other direction.
    #[param(pattern = "^-?(priority|name|created_at|cost_per_minute)$", default = "priority")]
    sort: Option<String>,
}

impl ListQuery for TrunkQuery {
    type Filter = TrunkSearch;

    fn read(sent: &mut Parameters) -> Self {
        const SORTS: [(&str, TrunkSort, bool); 8] = [
            ("priority", TrunkSort::Priority, false),
            ("-priority", TrunkSort::Priority, true),
            ("name", TrunkSort::Name, false),
            ("-name", TrunkSort::Name, true),
            ("created_at", TrunkSort::Age, false),
            ("-created_at", TrunkSort::Age, true),
            ("cost_per_minute", TrunkSort::Cost, false),
            ("-cost_per_minute", TrunkSort::Cost, true),
        ];
        let place = sort(sent, &SORTS.map(|(name, ..)| name));
        let (_, sort, reversed) = SORTS.get(place).copied().unwrap_or(("", TrunkSort::Priority, false));
        let filter = TrunkFilter { status: sent.parse("status"), provider: sent.parse("provider"), sort };
        Self { search: TrunkSearch { filter, health: sent.parse("health") }, reversed }
    }

    fn key(&self) -> SortKey {
        self.search.filter.sort.key()
    }

    fn is_reversed(&self) -> bool {
        self.reversed
    }

    fn into_filter(self) -> TrunkSearch {
        self.search
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        self.search.health.map(|_| "does not go with health; follow the Link header's next")
    }

    fn why_no_count(&self) -> Option<&'static str> {
        self.search.health.map(|_| "does not go with health, which changes meanwhile")
    }
}

/// Which numbers, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberQuery {
    trunk: Option<TrunkId>,
    reversed: bool,
}

/// Which numbers are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; NumberQuery is read by Parameters")]
pub(crate) struct NumberFilterQuery {
    /// Only numbers of this trunk alone.
    trunk_id: Option<Uuid>,
    /// `number` or `-number`.
    #[param(pattern = "^-?number$", default = "number")]
    sort: Option<String>,
}

impl ListQuery for NumberQuery {
    type Filter = Option<TrunkId>;

    fn read(sent: &mut Parameters) -> Self {
        let trunk = sent.read("trunk_id", UUID_MESSAGE);
        Self { trunk, reversed: is_reversed(sent, &["number", "-number"]) }
    }

    fn key(&self) -> SortKey {
        NUMBERS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.reversed
    }

    fn into_filter(self) -> Option<TrunkId> {
        self.trunk
    }
}

/// Which users, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserQuery {
    role: Option<Role>,
    reversed: bool,
}

/// Which users are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; UserQuery is read by Parameters")]
pub(crate) struct UserFilterQuery {
    /// Only users of this role.
    #[param(inline, value_type = Option<model_schema::Role>)]
    role: (),
    /// `email` or `-email`.
    #[param(pattern = "^-?email$", default = "email")]
    sort: Option<String>,
}

impl ListQuery for UserQuery {
    type Filter = Option<Role>;

    fn read(sent: &mut Parameters) -> Self {
        Self { role: sent.parse("role"), reversed: is_reversed(sent, &["email", "-email"]) }
    }

    fn key(&self) -> SortKey {
        USERS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.reversed
    }

    fn into_filter(self) -> Option<Role> {
        self.role
    }
}

/// Which API keys, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyQuery {
    revoked: Option<bool>,
    oldest_first: bool,
}

/// Which API keys are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; KeyQuery is read by Parameters")]
pub(crate) struct KeyFilterQuery {
    /// Only keys that are revoked, or only those that are not.
    revoked: Option<bool>,
    /// `-created_at` (the newest first) or `created_at`.
    #[param(pattern = "^-?created_at$", default = "-created_at")]
    sort: Option<String>,
}

impl ListQuery for KeyQuery {
    type Filter = Option<bool>;

    fn read(sent: &mut Parameters) -> Self {
        let revoked = sent.read("revoked", "must be true or false");
        Self { revoked, oldest_first: is_reversed(sent, &["-created_at", "created_at"]) }
    }

    fn key(&self) -> SortKey {
        API_KEYS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> Option<bool> {
        self.revoked
    }
}

/// What of the audit log, and in what order.
#[derive(Clone, Debug)]
pub(crate) struct AuditQuery {
    search: AuditSearch,
    oldest_first: bool,
}

/// What of the audit log is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; AuditQuery is read by Parameters")]
pub(crate) struct AuditFilterQuery {
    /// Whose log: `account`, or `node` for what belongs to no account, which only the operator's own account may read.
    #[param(pattern = "^(account|node)$", default = "account")]
    log: Option<String>,
    /// Only what this key or user did.
    actor_id: Option<Uuid>,
    /// Only this action, such as `trunk.update`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// Only what was done to the thing of this id.
    #[param(max_length = 100)]
    resource_id: Option<String>,
    /// Only what was done at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Only what was done before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// The order of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the field is documentation; AuditQuery is read by Parameters")]
pub(crate) struct AuditSortQuery {
    /// `-number` (the newest first) or `number`.
    #[param(pattern = "^-?number$", default = "-number")]
    sort: Option<String>,
}

impl ListQuery for AuditQuery {
    type Filter = AuditSearch;

    fn read(sent: &mut Parameters) -> Self {
        let log = |text: &str| match text {
            "account" => Ok(false),
            "node" => Ok(true),
            _ => Err("must be account or node"),
        };
        let of_node = sent.read_with("log", log).unwrap_or(false);
        let filter = AuditFilter {
            actor: sent.read("actor_id", UUID_MESSAGE),
            action: sent.read_with("action", |text| plain(text, 100)),
            resource: sent.read_with("resource_id", |text| plain(text, 100)),
            from: sent.read_with("from", time),
            until: sent.read_with("until", time),
        };
        Self { search: AuditSearch { of_node, filter }, oldest_first: is_reversed(sent, &["-number", "number"]) }
    }

    fn key(&self) -> SortKey {
        AUDIT_LOG_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> AuditSearch {
        self.search
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        (!self.search.filter.is_narrow())
            .then_some("goes only with one of resource_id, actor_id and action; else follow the Link header's next")
    }
}

/// Which webhook endpoints, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebhookQuery {
    enabled: Option<bool>,
    newest_first: bool,
}

/// Which webhook endpoints are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; WebhookQuery is read by Parameters")]
pub(crate) struct WebhookFilterQuery {
    /// Only endpoints that are enabled, or only those that are not.
    enabled: Option<bool>,
    /// `created_at` (the oldest first) or `-created_at`.
    #[param(pattern = "^-?created_at$", default = "created_at")]
    sort: Option<String>,
}

impl ListQuery for WebhookQuery {
    type Filter = Option<bool>;

    fn read(sent: &mut Parameters) -> Self {
        let enabled = sent.read("enabled", "must be true or false");
        Self { enabled, newest_first: is_reversed(sent, &["created_at", "-created_at"]) }
    }

    fn key(&self) -> SortKey {
        WEBHOOK_ENDPOINTS_KEY
    }

    fn is_reversed(&self) -> bool {
        self.newest_first
    }

    fn into_filter(self) -> Option<bool> {
        self.enabled
    }
}

/// Which deliveries of a webhook endpoint, and in what order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryQuery {
    filter: DeliveryFilter,
    oldest_first: bool,
}

/// Which deliveries are wanted. `event_type` is looked for in 10,000 deliveries at a time: there may be more though a page is short, or
/// empty, as long as it has a `next` link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; DeliveryQuery is read by Parameters")]
pub(crate) struct DeliveryFilterQuery {
    /// Only those that are `pending`, `delivered` or `dead`.
    #[param(inline, value_type = Option<model_schema::DeliveryState>)]
    state: (),
    /// Only those of events of this type.
    #[param(inline, value_type = Option<model_schema::EventType>)]
    event_type: (),
    /// `-sequence` (the newest event first) or `sequence`.
    #[param(pattern = "^-?sequence$", default = "-sequence")]
    sort: Option<String>,
}

impl ListQuery for DeliveryQuery {
    type Filter = DeliveryFilter;

    fn read(sent: &mut Parameters) -> Self {
        let filter = DeliveryFilter { state: sent.parse("state"), kind: sent.parse("event_type") };
        Self { filter, oldest_first: is_reversed(sent, &["-sequence", "sequence"]) }
    }

    fn key(&self) -> SortKey {
        WEBHOOK_DELIVERIES_KEY
    }

    fn is_reversed(&self) -> bool {
        self.oldest_first
    }

    fn into_filter(self) -> DeliveryFilter {
        self.filter
    }

    fn why_no_skip(&self) -> Option<&'static str> {
        (!self.filter.is_narrow()).then_some("does not go with event_type; follow the Link header's next")
    }
}

macro_rules! sorted_only {
    ($( $(#[$meta:meta])* $name:ident, $shown:ident: $key:ident, $sort:literal, $pattern:literal; )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            oldest_first: bool,
        }

        /// The order of the list.
        #[derive(IntoParams)]
        #[into_params(parameter_in = Query)]
        #[expect(dead_code, reason = "the field is documentation; it is read by Parameters")]
        pub(crate) struct $shown {
            /// With `-` the newest first.
            #[param(pattern = $pattern, default = $sort)]
            sort: Option<String>,
        }

        impl ListQuery for $name {
            type Filter = ();

            fn read(sent: &mut Parameters) -> Self {
                Self { oldest_first: is_reversed(sent, &[$sort, $sort.trim_start_matches('-')]) }
            }

            fn key(&self) -> SortKey {
                $key
            }

            fn is_reversed(&self) -> bool {
                self.oldest_first
            }

            fn into_filter(self) {}
        }
    )+ };
}

sorted_only! {
    /// A list by age, without filters.
    SortedByAge, AgeQuery: API_KEYS_KEY, "-created_at", "^-?created_at$";
    /// A ledger, without filters.
    SortedByEntry, EntryQuery: CREDIT_ENTRIES_KEY, "-at", "^-?at$";
    /// A list of what was asked for, without filters.
    SortedByRequest, RequestQuery: ERASURES_KEY, "-requested_at", "^-?requested_at$";
    /// A list of spans of time, without filters.
    SortedByBegin, BeginQuery: HEALTH_HISTORY_KEY, "-began_at", "^-?began_at$";
}

/// The place of the sort that is asked for among those that there are, the first of which is the default.
fn sort(sent: &mut Parameters, sorts: &[&str]) -> usize {
    let known = |text: &str| {
        sorts.iter().position(|sort| *sort == text).ok_or_else(|| format!("must be one of {}", sorts.join(", ")))
    };
    sent.read_with("sort", known).unwrap_or(0)
}

/// Whether the second of two sorts is asked for.
fn is_reversed(sent: &mut Parameters, sorts: &[&str; 2]) -> bool {
    sort(sent, sorts) == 1
}

/// A number as the log shows it. In a query `+` is a space, and who writes it so means the number.
fn number(text: &str) -> Result<String, String> {
    let text = match text.strip_prefix(' ') {
        Some(digits) => format!("+{digits}"),
        None => text.to_owned(),
    };
    plain(&text, MAX_NUMBER)
}

/// The code of a reason.
fn reason(text: &str) -> Result<String, String> {
    if Reason::CODES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(match nearest(text, Reason::CODES) {
        Some(known) => format!("is no reason; did you mean {known}?"),
        None => "is no reason; docs/reasons.md lists them".to_owned(),
    })
}

fn plain(text: &str, most: usize) -> Result<String, String> {
    if !(1..=most).contains(&text.chars().count()) || text.contains('\0') {
        return Err(format!("must have 1 to {most} characters, without NUL"));
    }
    Ok(text.to_owned())
}

/// A time, or a day, which begins at midnight; in a query the `+` of its offset may have become a space.
pub(in crate::http) fn time(text: &str) -> Result<Timestamp, impl Display + use<>> {
    let text = if text.parse::<Timestamp>().is_err() { text.replace(' ', "+") } else { text.to_owned() };
    text.parse::<Timestamp>()
}

/// A direction that a call can have.
pub(in crate::http) fn direction(text: &str) -> Result<CallDirection, String> {
    match text.parse() {
        Ok(CallDirection::Bidirectional) => Err("a call is inbound or outbound".to_owned()),
        Ok(direction @ (CallDirection::Inbound | CallDirection::Outbound)) => Ok(direction),
        Err(error) => Err(format!("{error}")),
    }
}

/// How the names of parameters begin that are about a call's metadata.
pub(super) const METADATA: &str = "metadata.";
const UUID_MESSAGE: &str = "must be a UUID";
/// Longest number of a log: a user part of a SIP address.
const MAX_NUMBER: usize = 64;
/// Members of metadata that one list looks for: each is a search in the text of each row.
const MAX_MEMBERS: usize = 5;
const MAX_KEY: usize = 100;
const MAX_VALUE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi;

    /// What a list knows, by what reads it.
    fn known<Q: ListQuery>() -> Vec<&'static str> {
        let mut sent = Parameters::new("");
        let _ = Q::read(&mut sent);
        sent.names()
    }

    #[test]
    fn the_document_shows_every_filter_and_no_other() {
        let document = serde_json::to_value(openapi()).unwrap();
        for (path, known) in [
            ("/calls", known::<CallQuery>()),
            ("/refusals", known::<RefusalQuery>()),
            ("/alerts", known::<AlertQuery>()),
            ("/trunks", known::<TrunkQuery>()),
            ("/numbers", known::<NumberQuery>()),
            ("/users", known::<UserQuery>()),
            ("/api-keys", known::<KeyQuery>()),
            ("/audit-log", known::<AuditQuery>()),
            ("/sessions", known::<SortedByAge>()),
            ("/webhook-endpoints", known::<WebhookQuery>()),
            ("/webhook-endpoints/{id}/deliveries", known::<DeliveryQuery>()),
            ("/credits/ledger", known::<SortedByEntry>()),
            ("/erasures", known::<SortedByRequest>()),
            ("/trunks/{id}/health", known::<SortedByBegin>()),
        ] {
            let operation = &document["paths"][format!("/api/v1/telephony{path}")]["get"];
            let shown = operation["parameters"].as_array().unwrap().iter();
            let shown =
                shown.filter(|parameter| parameter["in"] == "query").map(|parameter| parameter["name"].as_str());
            let mut shown: Vec<&str> = shown.flatten().collect();
            // OpenAPI has no words for a family of parameters; it is told in the text.
            let mut known: Vec<&str> = known.into_iter().filter(|name| !name.ends_with('.')).collect();
            known.extend(["skip", "limit", "cursor", "count"]);
            shown.sort_unstable();
            known.sort_unstable();
            assert_eq!(shown, known, "{path}");
            assert!(operation["responses"]["200"]["headers"]["Link"].is_object(), "{path}");
        }
    }

    #[test]
    fn only_reasons_that_there_are_can_be_asked_for() {
        assert_eq!(reason("no_inbound_rule").as_deref(), Ok("no_inbound_rule"));
        assert_eq!(reason("no_inbound_rul").unwrap_err(), "is no reason; did you mean no_inbound_rule?");
        assert_eq!(reason("xyzzy").unwrap_err(), "is no reason; docs/reasons.md lists them");
    }

    #[test]
    fn numbers_and_times_survive_a_query() {
        let mut sent = Parameters::new(
            "from=+12025550100&to=%2B44&started_after=2026-01-01T00:00:00+01:00&status=busy,no-answer&status=failed",
        );
        let query = CallQuery::read(&mut sent);
        assert_eq!(query.filter.from_number.as_deref(), Some("+12025550100"));
        assert_eq!(query.filter.to_number.as_deref(), Some("+44"));
        assert_eq!(query.filter.started_from, "2025-12-31T23:00:00Z".parse().ok());
        assert_eq!(query.filter.statuses, [CallStatus::Busy, CallStatus::NoAnswer, CallStatus::Failed]);
    }
}
