use axum::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! problem_codes {
    ($( $variant:ident = $code:literal, $status:ident, $title:literal {
        meaning: $meaning:literal,
        advice: $advice:literal,
        example: $example:literal $(,)?
    } )+) => {
        /// Every problem that an answer can tell of. What is said of each is also its page at `/docs/errors/{code}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub(crate) enum ProblemCode {
            $( #[serde(rename = $code)] $variant ),+
        }

        impl ProblemCode {
            /// All of them, in the order of the statuses.
            pub(crate) const ALL: &[Self] = &[ $( Self::$variant ),+ ];

            /// The stable code.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code ),+ }
            }

            /// The page of the code: the `type` of its documents.
            pub(crate) const fn page(self) -> &'static str {
                match self { $( Self::$variant => concat!("/docs/errors/", $code) ),+ }
            }

            /// Its HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status ),+ }
            }

            /// What it is, in few words that never change.
            pub(crate) const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title ),+ }
            }

            /// What has happened when an answer has it.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning ),+ }
            }

            /// What a client or its operator does then.
            pub(crate) const fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice ),+ }
            }

            /// A `detail` as it may be read in an answer.
            pub(crate) const fn example(self) -> &'static str {
                match self { $( Self::$variant => $example ),+ }
            }
        }
    };
}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        // utoipa's derive reads no names that come out of a macro.
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .description(Some("The stable code of a problem. Each has a page: `/docs/errors/` and the code."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for ProblemCode {}

problem_codes! {
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read" {
        meaning: "The request is not HTTP as the node reads it: a path or a header is not text, or the request was cut off.",
        advice: "Look at how the client writes the request. To send the same once more does not help.",
        example: "The request cannot be read",
    }
    TrunkLimitReached = "trunk_limit_reached", BAD_REQUEST, "The account has all its trunks" {
        meaning: "The account has as many trunks as its tier, or its own limit, allows.",
        advice: "Delete a trunk that is not used, or have the operator raise the tier or `max_trunks`.",
        example: "the account has all the trunks that it may have (5); delete one, or have its tier or max_trunks raised",
    }
    TrunkInUse = "trunk_in_use", BAD_REQUEST, "The trunk has active calls" {
        meaning: "A trunk is not deleted while it carries calls.",
        advice: "Set its `status` to `inactive`, wait until its `active_calls` are 0, then delete it.",
        example: "the trunk has 2 active calls; set its status to inactive and wait until they are over",
    }
    UnknownTrunk = "unknown_trunk", BAD_REQUEST, "No such trunk" {
        meaning: "A call that something else carries was logged over a trunk that the account does not have.",
        advice: "Send the id of one of the account's trunks as `sip_trunk_id`.",
        example: "sip_trunk_id names no trunk of the account",
    }
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key or token is needed" {
        meaning: "The request has no bearer, or one that is unknown, expired or revoked.",
        advice: "Send `Authorization: Bearer …` with an API key or an access token. An access token that has expired is replaced by `POST /sessions/refresh`.",
        example: "the API key or token is unknown, expired or was revoked",
    }
    SignInFailed = "sign_in_failed", UNAUTHORIZED, "Nobody is signed in" {
        meaning: "The e-mail address, the password, the sign-in link or the refresh token is wrong, used up or too old. Which one it is, is not told.",
        advice: "Sign in again. After too many wrong attempts there is a wait, which the answer then names.",
        example: "the e-mail address or the password is wrong",
    }
    CreditExhausted = "credit_exhausted", PAYMENT_REQUIRED, "The account's credit is used up" {
        meaning: "The account's calls are paid for by credit, and there is not as much left as is reserved for a call: what its first minute costs.",
        advice: "Have an admin of the node add credit, or try again when other calls of the account are over. `GET /credits` shows what is left.",
        example: "the account's credit is used up: 0.6 would be reserved for the call, 0.25 is available; an admin of the node can add some",
    }
    Forbidden = "forbidden", FORBIDDEN, "The caller may not do this" {
        meaning: "The bearer is good, but its scopes or the role of its user do not allow this, or it may not act for the account.",
        advice: "Use a key with the permission that the operation names, or have an admin of the account give it.",
        example: "this needs the permission write, which the caller does not have",
    }
    PricesAreTheOperators = "prices_are_the_operators", FORBIDDEN, "Prices are set by the operator" {
        meaning: "The account's calls are paid for by credit, and what they cost goes by the prices of its trunks. So only an admin of the node \
                  sets these: `cost_per_minute`, `monthly_cost` and `advanced_config.billing_increment`; and only an admin of the node makes \
                  trunks of the account, as each has a price.",
        advice: "Leave the field out, or send what it is already. To change a price, or for a trunk more, ask the operator.",
        example: "cost_per_minute is for an admin of the node to set, as the account's calls are paid for by credit",
    }
    NotFound = "not_found", NOT_FOUND, "Not found" {
        meaning: "The account has nothing of this kind with this id. What belongs to another account is answered in the same way.",
        advice: "Look at the id, and at whose key the request was sent with.",
        example: "the account has no such trunk",
    }
    TrunkNotFound = "trunk_not_found", NOT_FOUND, "No such trunk" {
        meaning: "A call was asked for over a trunk that the account does not have.",
        advice: "Send the id of one of the account's trunks as `sip_trunk_id`, or leave it out and let routing choose.",
        example: "sip_trunk_id names no trunk of the account",
    }
    AccountNotFound = "account_not_found", NOT_FOUND, "No such account" {
        meaning: "The header `X-Act-As`, or the path, names no account of the node.",
        advice: "Send the account's id, which `tandem account list` shows, or leave the header out.",
        example: "X-Act-As names no account of the node",
    }
    NoReceipt = "no_receipt", NOT_FOUND, "The call has no receipt" {
        meaning: "The call is carried by something else, so this node has routed nothing.",
        advice: "Nothing is to be done: only calls that this node carries have a receipt.",
        example: "the call is carried by something else, so nothing was routed here",
    }
    UnknownPath = "unknown_path", NOT_FOUND, "Unknown path" {
        meaning: "No endpoint has this path.",
        advice: "Compare the path with `/docs` or `/openapi.json`. Most begin with `/api/v1/telephony`.",
        example: "there is nothing at this path; see /openapi.json",
    }
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed" {
        meaning: "The path is right, and has no operation with this method.",
        advice: "Use one of the methods in the `Allow` header of the answer.",
        example: "the path does not know this method; the Allow header lists those it knows",
    }
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body did not come in time" {
        meaning: "The head of the request was read, and not all of its body within some seconds. Nothing was done.",
        advice: "Send the request again, with its whole body at once.",
        example: "the body did not come within 10 s; send the request again",
    }
    IdempotencyKeyInUse = "idempotency_key_in_use", CONFLICT, "The same request is being carried out" {
        meaning: "A request with this `Idempotency-Key` is being carried out, and had no answer within some seconds.",
        advice: "Send the same request with the same key again after the seconds in `Retry-After`: it is answered as the first was.",
        example: "the same request is being carried out under this key; ask for its answer in a moment",
    }
    CallIdTaken = "call_id_taken", CONFLICT, "The call is logged already" {
        meaning: "The account has a call of this `call_id`.",
        advice: "Change it with `PUT /calls/{call_id}`, or log another `call_id`.",
        example: "a call of that call_id is logged already; change it with PUT",
    }
    CallCarriedElsewhere = "call_carried_elsewhere", CONFLICT, "The call is carried by something else" {
        meaning: "The call is only logged here. This node has no leg of it that it could end.",
        advice: "End the call where it is carried, then log its end with `PUT /calls/{call_id}`.",
        example: "the call is only logged here; end it where it is carried, then log the end with PUT",
    }
    AlertOver = "alert_over", CONFLICT, "The alert is over" {
        meaning: "The alert was resolved, by somebody or because what was measured says so.",
        advice: "Nothing is to be done: should it be so again, an alert is raised anew.",
        example: "the alert is over; should it be so again, it is raised anew",
    }
    CallOver = "call_over", CONFLICT, "The call is over" {
        meaning: "The call has ended already, perhaps a moment ago.",
        advice: "Nothing is to be done. `GET /calls/{id}` tells how it ended.",
        example: "the call is over",
    }
    LedgerFull = "ledger_full", CONFLICT, "The ledger of the account is full" {
        meaning: "The call is paid for by the credit of its account, and with what it cost the account's calls would have cost more than a \
                  ledger can hold: 4,000,000,000,000 units of the currency, together.",
        advice: "Look at the `cost` that is logged of calls: no account spends as much.",
        example: "what the calls of the account have cost would be more than its ledger can hold; nothing was changed",
    }
    LastAdmin = "last_admin", CONFLICT, "The account keeps an admin" {
        meaning: "The change would leave the account without an admin who can sign in.",
        advice: "Make another user an admin first.",
        example: "this is the only admin of the account; make another user an admin first",
    }
    ErasureLimitReached = "erasure_limit_reached", CONFLICT, "Too many erasures go on" {
        meaning: "As many erasures of the account go on at once as may: each walks through all its calls.",
        advice: "Wait until some are finished, which `GET /erasures` shows.",
        example: "100 erasures of the account go on; wait until some are finished",
    }
    NumberLimitReached = "number_limit_reached", CONFLICT, "The account has all its numbers" {
        meaning: "The account has 10,000 numbers, which is as many as it may have.",
        advice: "Remove numbers that are not used. Whole blocks are better taken by a rule of the trunk, as `+1202555*`.",
        example: "the account has its 10000 numbers; remove some",
    }
    UserLimitReached = "user_limit_reached", CONFLICT, "The account has all its users" {
        meaning: "The account has as many users as an account may have.",
        advice: "Remove users who have left.",
        example: "the account has its 1000 users; remove those who have left",
    }
    ApiKeyLimitReached = "api_key_limit_reached", CONFLICT, "The account has all its API keys" {
        meaning: "The account has as many live API keys as an account may have. Those that are revoked or expired do not count.",
        advice: "Revoke keys that nobody uses; `last_used_at` tells which.",
        example: "the account has its 100 keys; revoke those that nobody uses",
    }
    ApiKeyInUse = "api_key_in_use", CONFLICT, "The API key is in use" {
        meaning: "An earlier try of the same request, under the same `Idempotency-Key`, has made an API key, and that was used or revoked since: \
                  somebody has its secret, which is not shown again.",
        advice: "Use the key that was made, or revoke it and ask for another under another `Idempotency-Key`.",
        example: "an earlier try of this request has made a key, which was used or revoked since; ask for another under another Idempotency-Key",
    }
    WebhookLimitReached = "webhook_limit_reached", CONFLICT, "The account has all its webhook endpoints" {
        meaning: "The account has as many webhook endpoints as an account may have.",
        advice: "Remove endpoints that nobody uses. One endpoint can have many types of events.",
        example: "the account has its 20 webhook endpoints; remove those that nobody uses",
    }
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "It was changed meanwhile" {
        meaning: "The `If-Match` header names another version than there is: somebody has changed the thing since it was read. Or the thing has no versions.",
        advice: "Read it again, look at what has changed, and send the change with the new `ETag`. The answer has it, too.",
        example: "it was changed meanwhile: its ETag is \"647bd1a40c7e5\" now; read it again",
    }
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large" {
        meaning: "The body is longer than any that an endpoint takes, or the connection broke while it was read.",
        advice: "Send less in one request.",
        example: "the body is cut off, or has more than 262144 bytes",
    }
    MalformedBody = "malformed_body", UNPROCESSABLE_ENTITY, "The body is not JSON" {
        meaning: "The body is no JSON object in UTF-8.",
        advice: "The `detail` names the line and the column where reading ended.",
        example: "body is not JSON: expected value at line 1 column 10",
    }
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field is wrong" {
        meaning: "At least one field of the body, or parameter of the query, has a value that cannot be taken, or is unknown.",
        advice: "Each member of `errors` names a field and says what it must be.",
        example: "priority must be a whole number from 1 to 100",
    }
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before" {
        meaning: "The `Idempotency-Key` was sent with another method, path, query or body within the last 24 hours.",
        advice: "Give each request a key of its own, such as a random UUID, and use it again only to repeat that very request.",
        example: "Idempotency-Key was sent with another request in the last 24 hours; each request has a key of its own",
    }
    NameTaken = "name_taken", UNPROCESSABLE_ENTITY, "The name is taken" {
        meaning: "Another trunk of the account has this name.",
        advice: "Choose another name.",
        example: "name is the name of another trunk of the account; the names of its trunks are unique",
    }
    NumberInUse = "number_in_use", UNPROCESSABLE_ENTITY, "The number is in use" {
        meaning: "A number that was to be erased is one of the account's own, or its trunks or numbers name it: what is configured is \
                  no trace of somebody, and the number would come back with the next call.",
        advice: "Take the number out of what `detail` names, then ask again.",
        example: "number is one of the account's own numbers, which are no traces of somebody; remove it from /numbers first",
    }
    NumberTaken = "number_taken", UNPROCESSABLE_ENTITY, "The number is taken" {
        meaning: "An account of this node has this number. Each belongs to one account; whose it is, is not told.",
        advice: "Look whether it is yours already with `GET /numbers`. If it should be, have the operator look whose it is.",
        example: "number is a number already; each belongs to one account, and is there once",
    }
    SourceTaken = "source_taken", UNPROCESSABLE_ENTITY, "The address is another account's" {
        meaning: "The trunk would take calls from an address from which calls of another account of this node come. Calls from an address are \
                  one account's, so that nobody takes another's; whose they are is not told.",
        advice: "Name your carrier's own addresses only, or set `call_direction` to `outbound` if no calls come in by the trunk. Where several \
                 accounts have one carrier, the operator can name its addresses in `TANDEM_SHARED_CARRIERS`.",
        example: "allowed_ips names 192.0.2.0/28, from where calls of another account come; an address is one account's, unless the operator \
                  names it in TANDEM_SHARED_CARRIERS",
    }
    EmailTaken = "email_taken", UNPROCESSABLE_ENTITY, "The e-mail address is taken" {
        meaning: "A user of this node has this e-mail address. Each belongs to one account.",
        advice: "Use another address, or have the other user removed.",
        example: "email is that of a user already; each belongs to one account",
    }
    NoRoute = "no_route", UNPROCESSABLE_ENTITY, "No trunk leads there" {
        meaning: "No trunk of the account takes calls to this number, whatever its load and health.",
        advice: "The receipt says of each trunk why not. Look at prefixes, directions and statuses.",
        example: "no trunk of the account leads there; see the verdicts on its trunks",
    }
    EmergencyNotRouted = "emergency_not_routed", UNPROCESSABLE_ENTITY, "No trunk is configured for this emergency number" {
        meaning: "The number is an emergency number, and no trunk names it whole in `outbound_routing.prefixes`. Such calls are never routed by a guess.",
        advice: "Give a trunk that may carry emergency calls the number as a prefix of its own.",
        example: "an emergency number goes only over a trunk whose outbound_routing.prefixes names it whole",
    }
    TargetNotAllowed = "target_not_allowed", UNPROCESSABLE_ENTITY, "The target is not allowed" {
        meaning: "The target is an address in a private, loopback or reserved network that the operator has not opened.",
        advice: "Have the operator add the range to `TANDEM_PEER_ALLOW`.",
        example: "10.0.0.1 is in a private or reserved range; add its range to TANDEM_PEER_ALLOW to allow it",
    }
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "There are too many requests" {
        meaning: "The key, the user or the address has sent more requests a second than each may, or all keys and users of the account together have: four times as many.",
        advice: "Wait for the seconds in `Retry-After`. The headers `RateLimit-Policy` and `RateLimit` of every answer tell what is left. The operator sets the rate with `TANDEM_API_RATE_LIMIT`.",
        example: "there are more requests a second than may be; wait, and send them more slowly",
    }
    TooManyWrites = "too_many_writes", TOO_MANY_REQUESTS, "The account has too many changes at once" {
        meaning: "As many changes of the account as may be are under way, and as many as may be wait for them. Nothing was done.",
        advice: "Send fewer changes at once: wait for the answer to some before you send more. Try again after the seconds in `Retry-After`.",
        example: "the account has 8 changes under way, and others wait for them; send fewer at once",
    }
    TierLimit = "tier_limit", TOO_MANY_REQUESTS, "The account has all its concurrent calls" {
        meaning: "The account has as many calls at once as its tier, or its own limit, allows.",
        advice: "Try again when a call is over, or have the operator raise the tier or `max_calls`.",
        example: "the account has all its 10 concurrent calls",
    }
    ExternalCallLimit = "external_call_limit", TOO_MANY_REQUESTS, "The account has all its open calls" {
        meaning: "The account has logged as many calls that have no end yet as may be open at once.",
        advice: "Log the ends of calls that are over with `PUT /calls/{call_id}`.",
        example: "the account has 10000 logged calls that are not over; log their ends with PUT",
    }
    CpsLimit = "cps_limit", TOO_MANY_REQUESTS, "The trunks have had their calls of this second" {
        meaning: "Each trunk that leads there has begun as many calls in this second as its `max_cps` allows.",
        advice: "Try again after the seconds in `Retry-After`, or raise `max_cps` in `outbound_routing`.",
        example: "trunks lead there, but none can take a call now; see the verdicts on them",
    }
    TooManyAttempts = "too_many_attempts", TOO_MANY_REQUESTS, "There were too many wrong attempts" {
        meaning: "Too many wrong passwords, links or tokens came for this user, or from this address.",
        advice: "Try again after the seconds in `Retry-After`.",
        example: "there were too many wrong attempts; try again in 30 s",
    }
    StreamLimit = "stream_limit", TOO_MANY_REQUESTS, "There are too many streams of events" {
        meaning: "The account, or the node, has as many streams of events open as may be.",
        advice: "Close a stream that nobody reads, and share one among the parts of a program.",
        example: "the account has 16 streams of events open; close one of them",
    }
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is broken here" {
        meaning: "The node has a fault. The request may have been done or not.",
        advice: "The operator finds the reason in the log under the `request_id`. Please report it.",
        example: "the operator finds the reason in the log, under this request_id",
    }
    NoTrunkAvailable = "no_trunk_available", SERVICE_UNAVAILABLE, "No trunk can take a call now" {
        meaning: "Trunks lead there, but each is full, unwell or resting at this moment.",
        advice: "The receipt says of each trunk why. Try again later, or add a trunk.",
        example: "trunks lead there, but none can take a call now; see the verdicts on them",
    }
    ConnectionLimit = "connection_limit", SERVICE_UNAVAILABLE, "There are too many connections" {
        meaning: "The address has as many HTTP connections open as one may have, or the node has as many as may be. Nothing was done.",
        advice: "Try again after the seconds in `Retry-After`, over a connection that is kept open and used again. A proxy through which many clients come is named in `TANDEM_TRUSTED_PROXIES`, which gives it most of the connections.",
        example: "there are as many connections as there may be; close some, or use them again",
    }
    NodeUnavailable = "node_unavailable", SERVICE_UNAVAILABLE, "The node takes no calls now" {
        meaning: "The node is stopping, or the disk of its journal is full or broken. Calls that are up go on.",
        advice: "Use another node. The operator sees the reason at `/health/ready`.",
        example: "the node is stopping and takes no new calls",
    }
    CallPathUnavailable = "call_path_unavailable", SERVICE_UNAVAILABLE, "The call path does not answer" {
        meaning: "The part of the node that carries calls did not answer in time. A call that was asked for may have been placed.",
        advice: "Try again after the seconds in `Retry-After`, with the same `Idempotency-Key` if it was a POST.",
        example: "the call path did not answer in time; try again in a moment",
    }
    ProbesBusy = "probes_busy", SERVICE_UNAVAILABLE, "Too many probes are under way" {
        meaning: "As many probes of trunks as may be are waiting for their answers.",
        advice: "Try again after the seconds in `Retry-After`.",
        example: "as many probes as may be are under way; each takes some seconds at most",
    }
    CallNotStoredYet = "call_not_stored_yet", SERVICE_UNAVAILABLE, "The call is not stored yet" {
        meaning: "The call began a moment ago and is not in the database yet, so that nothing of it can be changed there.",
        advice: "Try again after the seconds in `Retry-After`.",
        example: "the call began a moment ago and is not stored yet; try again",
    }
    PasswordsBusy = "passwords_busy", SERVICE_UNAVAILABLE, "Too many passwords are being looked at" {
        meaning: "To look at a password is made slow on purpose, and as many as may be are being looked at: by the node, or for the account, \
                  which has four at once. Nothing was done, and no wrong attempt was counted.",
        advice: "Try again after the seconds in `Retry-After`. Add users one after the other.",
        example: "as many passwords as may be are being looked at; try again in a moment",
    }
    PlatformKeysUnavailable = "platform_keys_unavailable", SERVICE_UNAVAILABLE, "The platform's tokens cannot be checked" {
        meaning: "The keys that the platform signs its tokens with cannot be fetched.",
        advice: "Try again after the seconds in `Retry-After`. API keys and people's sessions work meanwhile.",
        example: "the platform's keys cannot be fetched, so its tokens cannot be checked; try again in a moment",
    }
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE, "The database does not answer" {
        meaning: "The database is away, too slow, or has no room. A change that was asked for may have been made.",
        advice: "Try again after the seconds in `Retry-After`, with the same `Idempotency-Key` if it was a POST. Calls go on meanwhile.",
        example: "the database does not answer; try again in a moment",
    }
}
