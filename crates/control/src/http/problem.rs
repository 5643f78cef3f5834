use crate::http::receipt_view::ReceiptView;
use crate::service::{
    CreateCallError, CreateTrunkError, DeleteTrunkError, DialCallError, ExplainError, FindCallError, FindRefusalError,
    HangUpError, HealthCheckError, MAX_OPEN_CALLS, ReadTrunkError, UpdateCallError, UpdateTrunkError,
};
use crate::wire::{FieldError, Invalid};
use crate::{ProbeError, Unavailable};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tandem_model::{Receipt, RefusalKind};
use tandem_store::DatabaseError;
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
}

macro_rules! problem_codes {
    ($( $variant:ident = $code:literal, $status:ident, $title:literal; )+) => {
        /// Every problem that an answer can tell of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        pub(crate) enum ProblemCode {
            $( #[serde(rename = $code)] $variant ),+
        }

        impl ProblemCode {
            /// The stable code.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code ),+ }
            }

            /// Its HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status ),+ }
            }

            /// What it is, in few words that never change.
            pub(crate) const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title ),+ }
            }
        }
    };
}

problem_codes! {
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read";
    TrunkLimitReached = "trunk_limit_reached", BAD_REQUEST, "The account has all its trunks";
    TrunkInUse = "trunk_in_use", BAD_REQUEST, "The trunk has active calls";
    UnknownTrunk = "unknown_trunk", BAD_REQUEST, "No such trunk";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key or token is needed";
    SignInFailed = "sign_in_failed", UNAUTHORIZED, "Nobody is signed in";
    Forbidden = "forbidden", FORBIDDEN, "The caller may not do this";
    NotFound = "not_found", NOT_FOUND, "Not found";
    TrunkNotFound = "trunk_not_found", NOT_FOUND, "No such trunk";
    AccountNotFound = "account_not_found", NOT_FOUND, "No such account";
    NoReceipt = "no_receipt", NOT_FOUND, "The call has no receipt";
    UnknownPath = "unknown_path", NOT_FOUND, "Unknown path";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    CallIdTaken = "call_id_taken", CONFLICT, "The call is logged already";
    CallCarriedElsewhere = "call_carried_elsewhere", CONFLICT, "The call is carried by something else";
    CallOver = "call_over", CONFLICT, "The call is over";
    LastAdmin = "last_admin", CONFLICT, "The account keeps an admin";
    UserLimitReached = "user_limit_reached", CONFLICT, "The account has all its users";
    ApiKeyLimitReached = "api_key_limit_reached", CONFLICT, "The account has all its API keys";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    MalformedBody = "malformed_body", UNPROCESSABLE_ENTITY, "The body is not JSON";
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field is wrong";
    NameTaken = "name_taken", UNPROCESSABLE_ENTITY, "The name is taken";
    EmailTaken = "email_taken", UNPROCESSABLE_ENTITY, "The e-mail address is taken";
    NoRoute = "no_route", UNPROCESSABLE_ENTITY, "No trunk leads there";
    EmergencyNotRouted = "emergency_not_routed", UNPROCESSABLE_ENTITY, "No trunk is configured for this emergency number";
    TargetNotAllowed = "target_not_allowed", UNPROCESSABLE_ENTITY, "The target is not allowed";
    TierLimit = "tier_limit", TOO_MANY_REQUESTS, "The account has all its concurrent calls";
    ExternalCallLimit = "external_call_limit", TOO_MANY_REQUESTS, "The account has all its open calls";
    CpsLimit = "cps_limit", TOO_MANY_REQUESTS, "The trunks have had their calls of this second";
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "There were too many wrong attempts";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is broken here";
    NoTrunkAvailable = "no_trunk_available", SERVICE_UNAVAILABLE, "No trunk can take a call now";
    NodeUnavailable = "node_unavailable", SERVICE_UNAVAILABLE, "The node takes no calls now";
    CallPathUnavailable = "call_path_unavailable", SERVICE_UNAVAILABLE, "The call path does not answer";
    ProbesBusy = "probes_busy", SERVICE_UNAVAILABLE, "Too many probes are under way";
    CallNotStoredYet = "call_not_stored_yet", SERVICE_UNAVAILABLE, "The call is not stored yet";
    PasswordsBusy = "passwords_busy", SERVICE_UNAVAILABLE, "Too many passwords are being looked at";
    PlatformKeysUnavailable = "platform_keys_unavailable", SERVICE_UNAVAILABLE, "The platform's tokens cannot be checked";
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE, "The database does not answer";
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// `urn:tandem:problem:` and the code.
    r#type: String,
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
        Self { code, detail: detail.into(), errors: Vec::new(), receipt: None, retry_after: None }
    }

    /// The same, with the seconds after which it may be worth trying again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
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

    pub(crate) const fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The body.
    pub(crate) fn document(self, request_id: &str) -> ProblemDocument {
        ProblemDocument {
            r#type: format!("urn:tandem:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail,
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors,
            receipt: self.receipt.as_deref().map(ReceiptView::from),
        }
    }

    pub(crate) fn no_such(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("the account has no such {what}"))
    }

    /// A problem of one field, which is told for people and for programs.
    pub(crate) fn of_field(code: ProblemCode, field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let error = FieldError { field: field.to_owned(), message: message.clone() };
        Self { errors: vec![error], ..Self::new(code, format!("{field} {message}")) }
    }

    fn unknown_trunk() -> Self {
        Self::of_field(ProblemCode::TrunkNotFound, "sip_trunk_id", "names no trunk of the account")
    }

    fn name_taken() -> Self {
        let message = "is the name of another trunk of the account; the names of its trunks are unique";
        Self::of_field(ProblemCode::NameTaken, "name", message)
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
        response.extensions_mut().insert(self);
        response
    }
}

/// After how many seconds it may be worth trying again; `None` where somebody must do something first.
fn retry_after(code: ProblemCode) -> Option<u64> {
    // What passes by itself within a second, or nearly.
    if matches!(
        code,
        ProblemCode::CallNotStoredYet | ProblemCode::CpsLimit | ProblemCode::ProbesBusy | ProblemCode::PasswordsBusy
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
        let told: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
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

impl From<CreateTrunkError> for Problem {
    fn from(error: CreateTrunkError) -> Self {
        match error {
            CreateTrunkError::Invalid(invalid) => invalid.into(),
            CreateTrunkError::NameTaken => Self::name_taken(),
            CreateTrunkError::LimitReached { limit } => Self::new(
                ProblemCode::TrunkLimitReached,
                format!("the account has all its {limit} trunks; delete one, or have its tier or max_trunks raised"),
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
            UpdateTrunkError::NameTaken => Self::name_taken(),
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
                format!(
                    "the trunk has {active_calls} active calls; set its status to inactive and wait until they are over"
                ),
            ),
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
