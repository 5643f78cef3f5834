use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tandem_model::AccountId;
use uuid::Uuid;
use zeroize::Zeroizing;

/// SHA-256, of an entry or of what is kept of the fields.
pub(super) type Hash = [u8; 32];

/// Derived from a master key for [`HEAD`].
pub(super) type HeadKey = Zeroizing<[u8; 32]>;

/// What stands before the first entry of a log.
pub(super) const BEGINNING: Hash = [0; 32];

/// Everything of an entry that its hash covers, as it is stored.
pub(super) struct Link<'a> {
    pub(super) account: AccountId,
    pub(super) number: u64,
    pub(super) at_micros: i64,
    pub(super) actor_kind: &'a str,
    pub(super) actor_id: Option<Uuid>,
    pub(super) actor_name: &'a str,
    pub(super) actor_account: Option<Uuid>,
    pub(super) on_behalf_of: Option<Uuid>,
    pub(super) source: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) action: &'a str,
    pub(super) resource_type: &'a str,
    pub(super) resource_id: &'a str,
    pub(super) node_id: Uuid,
    pub(super) redacts: Option<&'a str>,
    pub(super) details_sha256: &'a [u8],
}

impl Link<'_> {
    /// The hash of the entry after one of this hash.
    ///
    /// Each field has its length before it, so that no two entries give the same bytes; what is absent differs from what is empty.
    pub(super) fn hash(&self, previous: &[u8]) -> Hash {
        fn bytes(id: &Option<Uuid>) -> Option<&[u8]> {
            id.as_ref().map(|id| id.as_bytes().as_slice())
        }
        let account = self.account.as_uuid();
        let (number, at) = (self.number.to_be_bytes(), self.at_micros.to_be_bytes());
        let fields: [Option<&[u8]>; 17] = [
            Some(previous),
            Some(account.as_bytes()),
            Some(&number),
            Some(&at),
            Some(self.actor_kind.as_bytes()),
            bytes(&self.actor_id),
            Some(self.actor_name.as_bytes()),
            bytes(&self.actor_account),
            bytes(&self.on_behalf_of),
            self.source.map(str::as_bytes),
            self.request_id.map(str::as_bytes),
            Some(self.action.as_bytes()),
            Some(self.resource_type.as_bytes()),
            Some(self.resource_id.as_bytes()),
            Some(self.node_id.as_bytes()),
            self.redacts.map(str::as_bytes),
            Some(self.details_sha256),
        ];
        let mut hash = Sha256::new();
        hash.update(ENTRY);
        for field in fields {
            match field {
                // One more than the length, so that nothing is left for what is absent.
                Some(field) => {
                    hash.update((field.len() as u64 + 1).to_be_bytes());
                    hash.update(field);
                }
                None => hash.update(0_u64.to_be_bytes()),
            }
        }
        hash.finalize().into()
    }
}

/// The hash of what is kept of the fields. The salt goes when they go: then nobody can try out what they were.
pub(super) fn details_hash(salt: &[u8], details: &str) -> Hash {
    Sha256::new().chain_update(DETAILS).chain_update(salt).chain_update(details).finalize().into()
}

/// Where a log begins and ends, which only who has the master key can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) account: AccountId,
    /// The first entry that is kept.
    pub(super) first: u64,
    /// The hash of the entry before it.
    pub(super) anchor: &'a [u8],
    /// The last entry.
    pub(super) last: u64,
    /// Its hash.
    pub(super) hash: &'a [u8],
}

impl Head<'_> {
    /// HMAC-SHA256 under a key that is derived from the master key for nothing else.
    pub(super) fn mac(&self, key: &HeadKey) -> Hash {
        self.authenticator(key).finalize().into_bytes().into()
    }

    /// Whether this is its MAC, compared in constant time.
    pub(super) fn is_authentic(&self, key: &HeadKey, mac: &[u8]) -> bool {
        self.authenticator(key).verify_slice(mac).is_ok()
    }

    fn authenticator(&self, key: &HeadKey) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC takes keys of every length");
        mac.chain_update(self.account.as_uuid().as_bytes())
            .chain_update(self.first.to_be_bytes())
            .chain_update(self.anchor)
            .chain_update(self.last.to_be_bytes())
            .chain_update(self.hash)
    }
}

const ENTRY: &[u8] = b"tandem audit entry 1\0";
const DETAILS: &[u8] = b"tandem audit details 1\0";
pub(super) const HEAD: &[u8] = b"tandem audit head 1";
