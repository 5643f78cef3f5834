pub(crate) use crate::http::problem_code::ProblemCode;
use crate::http::receipt_view::ReceiptView;
use crate::service::{
    CheckTrunkError, CreateCallError, CreateTrunkError, DeleteTrunkError, DialCallError, ExplainError, FindCallError,
    FindRefusalError, HangUpError, HealthCheckError, MAX_OPEN_CALLS, PricesAreTheOperators, ReadTrunkError,
    UpdateCallError, UpdateTrunkError,
};
use crate::wire::{FieldError, Invalid};
use crate::{ProbeError, Unavailable};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tandem_model::{Receipt, RefusalKind, SourceClaim};
use tandem_store::{DatabaseError, LedgerFull};
use utoipa::ToSchema;

/// What went wrong, as clients read it (RFC 9457). The response carries it as an extension until
/// [`envelope`](crate::http::envelope::envelope) writes the body with the request's id.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: ProblemCode,
    detail: String,
    errors: Vec<FieldError>,
    receipt: Option<Box<Receipt>>,
    /// Seconds, where they are known better than by the code.
    retry_after: Option<u64>,
    /// What the thing has now.
    etag: Option<HeaderValue>,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// The page that explains the code: `/docs/errors/` and the code, on this node.
    r#type: &'static str,
    /// What happened, in few words that never change.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened, and what would help.
    detail: String,
    /// The stable code, for programs.
    code: ProblemCode,
    /// The request, as in the `x-request-id` header and in the log.
    request_id: String,
    /// Each wrong field: at least one with 422. `body` is all of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// How routing decided, when it refused a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptView>,
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), receipt: None, retry_after: None, etag: None }
    }

    /// The same, with the seconds after which it may be worth trying again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same, with the `ETag` that the thing has now.
    pub(crate) fn tagged(self, etag: HeaderValue) -> Self {
        Self { etag: Some(etag), ..self }
    }

    /// The problem of a response that names none: what the framework itself answers.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => ProblemCode::UnknownPath,
            StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
            status if status.is_client_error() => ProblemCode::BadRequest,
            _ => ProblemCode::Internal,
        };
        Self::new(code, code.title())
    }

    /// One as it may be read in an answer.
    pub(crate) fn example(code: ProblemCode) -> Self {
        if code == ProblemCode::PricesAreTheOperators {
            return Self::from(PricesAreTheOperators { field: "cost_per_minute" });
        }
        if matches!(code, ProblemCode::NoRoute | ProblemCode::EmergencyNotRouted | ProblemCode::TargetNotAllowed) {
            let error = FieldError { field: "to_number".to_owned(), message: code.example().to_owned() };
            return Self { errors: vec![error], ..Self::new(code, code.example()) };
        }
        match code.example().split_once(' ') {
            Some((field, message)) if code.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                Self::of_field(code, field, message)
            }
            Some(_) | None => Self::new(code, code.example()),
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The body.
    pub(crate) fn document(self, request_id: &str) -> ProblemDocument {
        ProblemDocument {
            r#type: self.code.page(),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail,
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors,
            receipt: self.receipt.as_deref().map(ReceiptView::from),
        }
    }

    /// Something that must not happen has, and the log says what.
    pub(crate) fn internal() -> Self {
        Self::new(ProblemCode::Internal, "the operator finds the reason in the log, under this request_id")
    }

    pub(crate) fn no_such(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("the account has no such {what}"))
    }

    /// A problem of one field, which is told for people and for programs.
    pub(crate) fn of_field(code: ProblemCode, field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let error = FieldError { field: field.to_owned(), message: message.clone() };
        Self { errors: vec![error], ..Self::new(code, format!("{field}: {message}")) }
    }

    fn unknown_trunk() -> Self {
        Self::of_field(ProblemCode::TrunkNotFound, "sip_trunk_id", "names no trunk of the account")
    }

    fn name_taken() -> Self {
        let message = "is the name of another trunk of the account; the names of its trunks are unique";
        Self::of_field(ProblemCode::NameTaken, "name", message)
    }

    /// Whose the addresses are, and by which trunk, is not told.
    fn source_taken(claim: &SourceClaim) -> Self {
        let SourceClaim { field, range } = claim;
        let named =
            if range.prefix_len() == range.max_prefix_len() { range.addr().to_string() } else { range.to_string() };
        let message = format!(
            "names {named}, from where calls of another account come; an address is one account's, unless the operator names it in \
             TANDEM_SHARED_CARRIERS"
        );
        Self::of_field(ProblemCode::SourceTaken, field.as_str(), message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tandem\""));
        }
        if let Some(seconds) = self.retry_after.or_else(|| retry_after(self.code)) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(etag) = &self.etag {
            headers.insert(header::ETAG, etag.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// After how many seconds it may be worth trying again; `None` where somebody must do something first.
fn retry_after(code: ProblemCode) -> Option<u64> {
    // What passes by itself within a second, or nearly.
    if matches!(
        code,
        ProblemCode::IdempotencyKeyInUse
            | ProblemCode::CallNotStoredYet
            | ProblemCode::CpsLimit
            | ProblemCode::ProbesBusy
            | ProblemCode::PasswordsBusy
            | ProblemCode::ConnectionLimit
            | ProblemCode::TooManyWrites
    ) {
        return Some(1);
    }
    // How long it takes nobody knows. To be refused once more costs next to nothing.
    matches!(
        code,
        ProblemCode::DatabaseUnavailable | ProblemCode::CallPathUnavailable | ProblemCode::PlatformKeysUnavailable
    )
    .then_some(2)
}

impl From<Invalid> for Problem {
    fn from(Invalid(errors): Invalid) -> Self {
        let told: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        Self { errors, ..Self::new(ProblemCode::InvalidField, told.join("; ")) }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "a request failed on the database");
        } else {
            tracing::error!(%error, "a request failed on the database");
        }
        match error {
            DatabaseError::Busy | DatabaseError::Unavailable | DatabaseError::Query(_) => {
                Self::new(ProblemCode::DatabaseUnavailable, "the database does not answer; try again in a moment")
            }
            DatabaseError::DiskFull => Self::new(
                ProblemCode::DatabaseUnavailable,
                "the node's disk is full; the operator must free some space",
            ),
            DatabaseError::Unreadable { .. } | DatabaseError::Seal(_) | DatabaseError::Randomness(_) => {
                Self::new(ProblemCode::Internal, "the operator finds the reason in the log, under this request_id")
            }
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(Unavailable: Unavailable) -> Self {
        tracing::warn!("a request got no answer from the call path");
        Self::new(ProblemCode::CallPathUnavailable, "the call path did not answer in time; try again in a moment")
    }
}

impl From<LedgerFull> for Problem {
    fn from(error: LedgerFull) -> Self {
        tracing::warn!(%error, "a logged call is refused");
        Self::new(ProblemCode::LedgerFull, format!("{error}; nothing was changed"))
    }
}

impl From<PricesAreTheOperators> for Problem {
    fn from(PricesAreTheOperators { field }: PricesAreTheOperators) -> Self {
        let message = "is for an admin of the node to set, as the account's calls are paid for by credit";
        Self::of_field(ProblemCode::PricesAreTheOperators, field, message)
    }
}

impl From<CreateTrunkError> for Problem {
    fn from(error: CreateTrunkError) -> Self {
        match error {
            CreateTrunkError::Invalid(invalid) => invalid.into(),
            CreateTrunkError::Prices(error) => error.into(),
            CreateTrunkError::NameTaken => Self::name_taken(),
            CreateTrunkError::SourceTaken(claim) => Self::source_taken(&claim),
            CreateTrunkError::LimitReached { limit } => Self::new(
                ProblemCode::TrunkLimitReached,
                format!(
                    "the account has all the trunks that it may have ({limit}); delete one, or have its tier or max_trunks raised"
                ),
            ),
            CreateTrunkError::Database(error) => error.into(),
        }
    }
}

impl From<ReadTrunkError> for Problem {
    fn from(error: ReadTrunkError) -> Self {
        match error {
            ReadTrunkError::NotFound => Self::no_such("trunk"),
            ReadTrunkError::Unavailable(error) => error.into(),
            ReadTrunkError::Database(error) => error.into(),
        }
    }
}

impl From<UpdateTrunkError> for Problem {
    fn from(error: UpdateTrunkError) -> Self {
        match error {
            UpdateTrunkError::NotFound => Self::no_such("trunk"),
            UpdateTrunkError::Invalid(invalid) => invalid.into(),
            UpdateTrunkError::Prices(error) => error.into(),
            UpdateTrunkError::NameTaken => Self::name_taken(),
            UpdateTrunkError::SourceTaken(claim) => Self::source_taken(&claim),
            UpdateTrunkError::Stale(error) => error.into(),
            UpdateTrunkError::Unavailable(error) => error.into(),
            UpdateTrunkError::Database(error) => error.into(),
        }
    }
}

impl From<DeleteTrunkError> for Problem {
    fn from(error: DeleteTrunkError) -> Self {
        match error {
            DeleteTrunkError::NotFound => Self::no_such("trunk"),
            DeleteTrunkError::InUse { active_calls } => Self::new(
                ProblemCode::TrunkInUse,
                match active_calls {
                    1 => {
                        "the trunk has an active call; set its status to inactive and wait until it is over".to_owned()
                    }
                    many => format!(
                        "the trunk has {many} active calls; set its status to inactive and wait until they are over"
                    ),
                },
            ),
            DeleteTrunkError::Stale(error) => error.into(),
            DeleteTrunkError::Unavailable(error) => error.into(),
            DeleteTrunkError::Database(error) => error.into(),
        }
    }
}

impl From<HealthCheckError> for Problem {
    fn from(error: HealthCheckError) -> Self {
        match error {
            HealthCheckError::NotFound => Self::no_such("trunk"),
            HealthCheckError::Probe(ProbeError::Busy) => Self::new(
                ProblemCode::ProbesBusy,
                "as many probes as may be are under way; each takes some seconds at most",
            ),
            HealthCheckError::Probe(ProbeError::Unavailable(error)) => error.into(),
            HealthCheckError::Database(error) => error.into(),
        }
    }
}

impl From<CheckTrunkError> for Problem {
    fn from(error: CheckTrunkError) -> Self {
        match error {
            CheckTrunkError::Forbidden(error) => error.into(),
            CheckTrunkError::Refused(receipt) => DialCallError::Refused(receipt).into(),
            CheckTrunkError::Unavailable(error) => error.into(),
            CheckTrunkError::Check(error) => error.into(),
            CheckTrunkError::Database(error) => error.into(),
        }
    }
}

impl From<CreateCallError> for Problem {
    fn from(error: CreateCallError) -> Self {
        match error {
            CreateCallError::UnknownTrunk => {
                Self::new(ProblemCode::UnknownTrunk, "sip_trunk_id names no trunk of the account")
            }
            CreateCallError::CallIdTaken => {
                Self::new(ProblemCode::CallIdTaken, "a call of that call_id is logged already; change it with PUT")
            }
            CreateCallError::TooManyOpen => Self::new(
                ProblemCode::ExternalCallLimit,
                format!("the account has {MAX_OPEN_CALLS} logged calls that are not over; log their ends with PUT"),
            ),
            CreateCallError::Invalid(invalid) => invalid.into(),
            CreateCallError::LedgerFull(error) => error.into(),
            CreateCallError::Database(error) => error.into(),
        }
    }
}

impl From<FindCallError> for Problem {
    fn from(error: FindCallError) -> Self {
        match error {
            FindCallError::NotFound => Self::no_such("call"),
            FindCallError::NoReceipt => {
                Self::new(ProblemCode::NoReceipt, "the call is carried by something else, so nothing was routed here")
            }
            FindCallError::Unavailable(error) => error.into(),
            FindCallError::Database(error) => error.into(),
        }
    }
}

impl From<FindRefusalError> for Problem {
    fn from(error: FindRefusalError) -> Self {
        match error {
            FindRefusalError::NotFound => Self::no_such("refusal"),
            FindRefusalError::Database(error) => error.into(),
        }
    }
}

impl From<UpdateCallError> for Problem {
    fn from(error: UpdateCallError) -> Self {
        match error {
            UpdateCallError::NotFound => Self::no_such("call"),
            UpdateCallError::NotStoredYet => {
                Self::new(ProblemCode::CallNotStoredYet, "the call began a moment ago and is not stored yet; try again")
            }
            UpdateCallError::Invalid(invalid) => invalid.into(),
            UpdateCallError::LedgerFull(error) => error.into(),
            UpdateCallError::Stale(error) => error.into(),
            UpdateCallError::Unavailable(error) => error.into(),
            UpdateCallError::Database(error) => error.into(),
        }
    }
}

impl From<HangUpError> for Problem {
    fn from(error: HangUpError) -> Self {
        match error {
            HangUpError::NotFound => Self::no_such("call"),
            HangUpError::CarriedElsewhere => Self::new(
                ProblemCode::CallCarriedElsewhere,
                "the call is only logged here; end it where it is carried, then log the end with PUT",
            ),
            HangUpError::Over => Self::new(ProblemCode::CallOver, "the call is over"),
            HangUpError::Unavailable(error) => error.into(),
            HangUpError::Database(error) => error.into(),
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::UnknownTrunk => Self::unknown_trunk(),
            ExplainError::Unavailable(error) => error.into(),
        }
    }
}

impl From<DialCallError> for Problem {
    fn from(error: DialCallError) -> Self {
        let receipt = match error {
            DialCallError::UnknownTrunk => return Self::unknown_trunk(),
            DialCallError::Unavailable(error) => return error.into(),
            DialCallError::Database(error) => return error.into(),
            DialCallError::Refused(receipt) => receipt,
        };
        let (code, detail) = match &receipt.refusal {
            Some(refusal) => (code_of(refusal.kind), refusal.reason.explanation()),
            None => {
                tracing::error!("a call was refused without a reason");
                (ProblemCode::Internal, "the call was refused without a reason".to_owned())
            }
        };
        let is_of_field = code.status() == StatusCode::UNPROCESSABLE_ENTITY;
        let errors = is_of_field.then(|| FieldError { field: "to_number".to_owned(), message: detail.clone() });
        Self { receipt: Some(receipt), errors: errors.into_iter().collect(), ..Self::new(code, detail) }
    }
}

const fn code_of(kind: RefusalKind) -> ProblemCode {
    match kind {
        RefusalKind::NoRoute => ProblemCode::NoRoute,
        RefusalKind::EmergencyNotRouted => ProblemCode::EmergencyNotRouted,
        RefusalKind::TargetNotAllowed => ProblemCode::TargetNotAllowed,
        RefusalKind::CreditExhausted => ProblemCode::CreditExhausted,
        RefusalKind::TierLimit => ProblemCode::TierLimit,
        RefusalKind::CpsLimit => ProblemCode::CpsLimit,
        RefusalKind::NoTrunkAvailable => ProblemCode::NoTrunkAvailable,
        RefusalKind::NodeUnavailable => ProblemCode::NodeUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_one_code_and_one_status_everywhere() {
        for kind in [
            RefusalKind::NoRoute,
            RefusalKind::EmergencyNotRouted,
            RefusalKind::TargetNotAllowed,
            RefusalKind::CreditExhausted,
            RefusalKind::TierLimit,
            RefusalKind::CpsLimit,
            RefusalKind::NoTrunkAvailable,
            RefusalKind::NodeUnavailable,
        ] {
            assert_eq!(code_of(kind).as_str(), kind.code());
            assert_eq!(code_of(kind).status().as_u16(), kind.http_status());
        }
    }
}
