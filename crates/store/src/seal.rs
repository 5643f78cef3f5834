use crate::store::random;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use tandem_model::{AccountId, Secret};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A key that seals: the master key, which seals data keys, or the data key of an account, which seals its secrets.
///
/// Sealed is one version byte, 24 random bytes of nonce, and the XChaCha20-Poly1305 ciphertext with its tag
/// (draft-irtf-cfrg-xchacha). The nonce is long enough to be drawn at random for ever. The associated data names table, column,
/// row and account, so that a sealed value opens only where it was put.
#[derive(Clone)]
pub(crate) struct SealingKey(Zeroizing<[u8; KEY_BYTES]>);

/// Where a sealed value stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) row: Uuid,
    pub(crate) account: AccountId,
}

impl SealingKey {
    pub(crate) fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    pub(crate) fn seal(&self, plain: &[u8], place: Place) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = random().map_err(SealError::Randomness)?;
        let aad = place.associated_data();
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
            .expect("encrypting fails only beyond 256 GB");
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, sealed: &[u8], place: Place) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let refused = SealError::DoesNotOpen { table: place.table, column: place.column };
        let (&version, rest) = sealed.split_first().ok_or(refused)?;
        if version != VERSION {
            return Err(SealError::UnknownFormat { table: place.table, column: place.column, version });
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(refused)?;
        let aad = place.associated_data();
        let plain = self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad });
        plain.map(Zeroizing::new).map_err(|_| refused)
    }

    pub(crate) fn seal_secret(&self, secret: &Secret, place: Place) -> Result<Vec<u8>, SealError> {
        self.seal(secret.expose().as_bytes(), place)
    }

    pub(crate) fn open_secret(&self, sealed: &[u8], place: Place) -> Result<Secret, SealError> {
        let plain = self.open(sealed, place)?;
        let text =
            str::from_utf8(&plain).map_err(|_| SealError::DoesNotOpen { table: place.table, column: place.column })?;
        Ok(Secret::new(text))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::<[u8; KEY_BYTES]>::new(bytes.try_into().ok()?);
        Some(Self(bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl Place {
    pub(crate) const fn data_key(account: AccountId) -> Self {
        Self { table: "accounts", column: "data_key", row: account.as_uuid(), account }
    }

    /// Names end with a zero byte, which no name holds, and ids have one length: no two places give the same bytes.
    fn associated_data(self) -> Vec<u8> {
        let row = self.row.as_bytes().as_slice();
        [self.table.as_bytes(), &[0], self.column.as_bytes(), &[0], row, self.account.as_uuid().as_bytes()].concat()
    }
}

/// Why a secret could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with another key, belongs to another row, or was changed.
    #[error("a sealed secret in {table}.{column} does not open: another key sealed it, or the row was changed by hand")]
    DoesNotOpen {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A newer build has sealed it.
    #[error("a sealed secret in {table}.{column} has format {version}, which this build does not know")]
    UnknownFormat {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The version byte.
        version: u8,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// Bytes of a key of XChaCha20-Poly1305.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// The format above. A change of cipher or associated data is a new version.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let account = AccountId::from_uuid(Uuid::from_u128(1));
        Place { table: "trunks", column: "sip_password", row: Uuid::from_u128(2), account }
    }

    #[test]
    fn opens_what_it_sealed() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(b"hunter2", place()).unwrap();
        assert_eq!(key.open(&sealed, place()).unwrap().as_slice(), b"hunter2");
        assert_eq!(sealed.len(), 1 + NONCE_BYTES + 7 + 16);
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let key = SealingKey::generate().unwrap();
        assert_ne!(key.seal(b"hunter2", place()).unwrap(), key.seal(b"hunter2", place()).unwrap());
    }

    #[test]
    fn opens_only_where_it_was_put() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(b"hunter2", place()).unwrap();
        let elsewhere = [
            Place { table: "trunk", ..place() },
            Place { column: "auth_password", ..place() },
            Place { row: Uuid::from_u128(3), ..place() },
            Place { account: AccountId::from_uuid(Uuid::from_u128(9)), ..place() },
        ];
        for other in elsewhere {
            assert!(matches!(key.open(&sealed, other), Err(SealError::DoesNotOpen { .. })));
        }
        assert!(SealingKey::generate().unwrap().open(&sealed, place()).is_err());
    }

    #[test]
    fn refuses_what_was_changed_or_cut() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(b"hunter2", place()).unwrap();
        for length in 0..sealed.len() {
            assert!(key.open(&sealed[..length], place()).is_err());
        }
        for index in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(&changed, place()).is_err());
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert!(matches!(key.open(&newer, place()), Err(SealError::UnknownFormat { version: 2, .. })));
    }
}
