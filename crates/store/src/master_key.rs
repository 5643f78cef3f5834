use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key that seals every account's data key: 32 bytes, kept in a file of 64 hexadecimal digits.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; MASTER_KEY_BYTES]>);

/// Bytes of a master key: that of XChaCha20-Poly1305.
const MASTER_KEY_BYTES: usize = 32;

impl MasterKey {
    /// Reads the key, or makes one with mode 0600 when the file is not there.
    ///
    /// # Errors
    /// [`MasterKeyError`], each with what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        let _ = path;
        todo!()
    }

    /// A key from elsewhere, for tests and key stores.
    #[must_use]
    pub fn from_bytes(bytes: [u8; MASTER_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Others can read it.
    #[error("the master key {path:?} can be read by others (mode {mode:03o}); run chmod 600 {}", path.display())]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("the master key {path:?} is not 64 hexadecimal digits; restore it from a backup")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the master key {path:?} cannot be {action}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}
