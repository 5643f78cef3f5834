use crate::seal::{KEY_BYTES, SealingKey};
use crate::store::random;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key that seals every account's data key: 32 bytes, kept in a file of 64 hexadecimal digits.
#[derive(Clone)]
pub struct MasterKey(SealingKey);

impl MasterKey {
    /// Reads the key, or makes one with mode 0600 when the file is not there.
    ///
    /// # Errors
    /// [`MasterKeyError`], each with what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        match Self::load(path) {
            Err(MasterKeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// A key from elsewhere, for tests and key stores.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(SealingKey::from_bytes(bytes))
    }

    fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), action: "read", source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(MasterKeyError::ReadableByOthers { path: path.to_owned(), mode });
        }
        let malformed = || MasterKeyError::Malformed { path: path.to_owned() };
        // The digits and room for line ends; one byte more would be too many.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
        file.take(MAX_FILE_BYTES as u64).read_to_end(&mut text).map_err(failed)?;
        let digits = text.trim_ascii();
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| malformed())?;
        Ok(Self::from_bytes(*bytes))
    }

    /// A key of its own for another purpose than sealing (HKDF-SHA256, RFC 5869): who has it learns nothing of the master key.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, self.0.bytes())
            .expand(purpose, derived.as_mut_slice())
            .expect("32 bytes are fewer than HKDF gives at most");
        derived
    }

    /// Tells keys apart, and tells nothing of them.
    pub(crate) fn id(&self) -> String {
        let [a, b, c, d, ..] = *self.derive(b"tandem key id");
        hex::encode([a, b, c, d])
    }

    pub(crate) const fn sealing(&self) -> &SealingKey {
        &self.0
    }
}

/// Writes a new key beside the place and links it there: the file appears whole or not at all, and never replaces another.
fn create(path: &Path) -> Result<(), MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), action: "made", source };
    let key = Zeroizing::new(random::<KEY_BYTES>().map_err(MasterKeyError::Randomness)?);
    let suffix = random::<8>().map_err(MasterKeyError::Randomness)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex::encode(suffix)));
    let draft = PathBuf::from(draft);

    let written = write_draft(&draft, &key).and_then(|()| match fs::hard_link(&draft, path) {
        // Another process was faster: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

fn write_draft(draft: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let digits = Zeroizing::new(hex::encode(key));
    file.write_all(digits.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Without this the name of the new key may be lost in a power cut, after secrets were sealed with it.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
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
    /// Group or others may do something with it.
    #[error("the master key {path:?} is open to other users (mode {mode:03o}); run chmod 600 {}", path.display())]
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
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// 64 digits and a few bytes of white space.
const MAX_FILE_BYTES: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_key_once_and_reads_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        MasterKey::load_or_create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let key = MasterKey::from_bytes([7; KEY_BYTES]);
        assert_eq!(key.derive(b"a"), MasterKey::from_bytes([7; KEY_BYTES]).derive(b"a"));
        assert_ne!(key.derive(b"a"), key.derive(b"b"));
        assert_ne!(key.derive(b"a"), MasterKey::from_bytes([8; KEY_BYTES]).derive(b"a"));
        assert_ne!(key.derive(b"a").as_slice(), [7; KEY_BYTES]);
    }

    #[test]
    fn refuses_a_key_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::load_or_create(&path).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn refuses_a_key_that_is_cut_or_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        for text in [String::new(), "ab".repeat(31), "ab".repeat(33), "zz".repeat(32), "ab".repeat(4_000)] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(MasterKey::load_or_create(&path), Err(MasterKeyError::Malformed { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file is left as it was");
        }
    }

    #[test]
    fn names_the_file_when_its_folder_is_missing() {
        let error = MasterKey::load_or_create(Path::new("/nonexistent/folder/master.key")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/folder/master.key"), "{error}");
    }
}
