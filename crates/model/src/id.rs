use crate::Timestamp;
use uuid::Uuid;

macro_rules! uuid_id {
    ($( $(#[$meta:meta])* $name:ident ),+ $(,)?) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A UUIDv7 (RFC 9562 §5.7) of this instant with these random bits, so that ids sort by time.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(at.unix_millis(), &random).into_uuid())
            }

            /// An id that was made before.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The plain UUID, for the database.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError)
            }
        }
    )+ };
}

uuid_id! {
    /// An account: what every row belongs to. Shown as `user_id` on the wire.
    AccountId,
    /// A person who signs in; belongs to an account.
    UserId,
    /// A person's sign-in on one device, with all tokens that follow from it.
    SessionId,
    /// A bearer key of an account.
    ApiKeyId,
    /// A trunk: an account's connection to one carrier.
    TrunkId,
    /// Our call. The header that SIP calls Call-ID is `SipCallId`.
    CallId,
    /// One attempt or one established side of a call.
    LegId,
    /// A number of an account.
    NumberId,
    /// An INVITE that was refused.
    RefusalId,
    /// A number that is taken out of what an account has of past calls.
    ErasureId,
    /// An event of an account, the same wherever it is sent.
    EventId,
    /// A change of an account's credit.
    CreditEntryId,
    /// Where an account wants events sent.
    WebhookEndpointId,
    /// An event on its way to one endpoint.
    WebhookDeliveryId,
    /// Something that somebody should look at.
    AlertId,
    /// A mail to one address.
    MailId,
    /// This installation, kept in the data directory.
    NodeId,
    /// One start of the process.
    BootId,
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct ParseIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let earlier = CallId::new(Timestamp::from_unix_micros(1_700_000_000_000_000), [0xff; 10]);
        let later = CallId::new(Timestamp::from_unix_micros(1_700_000_000_001_000), [0; 10]);
        assert!(earlier < later);
        assert_eq!(later.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn prints_and_reads_back() {
        let id = TrunkId::new(Timestamp::from_unix_micros(1_700_000_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<TrunkId>(), Ok(id));
        assert_eq!("nonsense".parse::<TrunkId>(), Err(ParseIdError));
    }
}
