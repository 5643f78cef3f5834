//! Schemas of the model's enums, which know nothing of OpenAPI: their spellings come from the enums themselves.

use std::borrow::Cow;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! text_schema {
    ($( $(#[$meta:meta])* $name:ident of $model:ty ),+ $(,)?) => { $(
        $(#[$meta])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let spellings = <$model>::ALL.iter().map(|value| value.as_str());
                ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(spellings)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+ };
}

text_schema! {
    /// [`tandem_model::TrunkStatus`].
    TrunkStatus of tandem_model::TrunkStatus,
    /// [`tandem_model::Provider`].
    Provider of tandem_model::Provider,
    /// [`tandem_model::CallDirection`].
    CallDirection of tandem_model::CallDirection,
    /// [`tandem_model::HealthStatus`].
    HealthStatus of tandem_model::HealthStatus,
    /// [`tandem_model::HealthReason`].
    HealthReason of tandem_model::HealthReason,
    /// [`tandem_model::BreakerState`].
    BreakerState of tandem_model::BreakerState,
    /// [`tandem_model::DtmfMode`].
    DtmfMode of tandem_model::DtmfMode,
    /// [`tandem_model::Transport`].
    Transport of tandem_model::Transport,
    /// [`tandem_model::SrtpPolicy`].
    SrtpPolicy of tandem_model::SrtpPolicy,
    /// [`tandem_model::CallStatus`].
    CallStatus of tandem_model::CallStatus,
    /// [`tandem_model::CarriedBy`].
    CarriedBy of tandem_model::CarriedBy,
    /// [`tandem_model::HungUpBy`].
    HungUpBy of tandem_model::HungUpBy,
    /// [`tandem_model::LegKind`].
    LegKind of tandem_model::LegKind,
    /// [`tandem_model::LegStatus`].
    LegStatus of tandem_model::LegStatus,
    /// [`tandem_model::HangupCause`].
    HangupCause of tandem_model::HangupCause,
    /// [`tandem_model::CreditEntryKind`].
    CreditEntryKind of tandem_model::CreditEntryKind,
    /// [`tandem_model::Role`].
    Role of tandem_model::Role,
    /// [`tandem_model::Permission`].
    Permission of tandem_model::Permission,
    /// [`tandem_model::EventKind`].
    EventKind of tandem_model::EventKind,
    /// [`tandem_store::DeliveryState`].
    DeliveryState of tandem_store::DeliveryState,
    /// [`tandem_model::EventType`].
    EventType of tandem_model::EventType,
    /// [`tandem_model::AlertRule`].
    AlertRule of tandem_model::AlertRule,
    /// [`tandem_model::AlertState`].
    AlertState of tandem_model::AlertState,
    /// [`tandem_model::AlertSeverity`].
    AlertSeverity of tandem_model::AlertSeverity,
}
