use crate::SealError;
use crate::seal::{KEY_BYTES, Place, SealingKey};
use crate::store::random;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tandem_model::AccountId;
use zeroize::Zeroizing;

/// The key that seals every account's data key: 32 bytes, kept in a file of 64 hexadecimal digits.
///
/// While it is being replaced the file has a line for each key: the first seals, all of them open. Clones share the keys.
#[derive(Clone)]
pub struct MasterKey {
    /// Never empty; the first seals.
    keys: Arc<RwLock<Vec<SealingKey>>>,
    /// Where they are kept, if they are.
    path: Option<PathBuf>,
    /// Whether this process has made the file, as there was none.
    is_new: bool,
}

/// Tells master keys apart, and tells nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MasterKeyId([u8; ID_BYTES]);

impl MasterKey {
    /// Reads the key, or makes one with mode 0600 when the file is not there.
    ///
    /// # Errors
    /// [`MasterKeyError`], each with what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        let (keys, is_new) = match read_file(path) {
            Err(MasterKeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let is_new = create(path)?;
                (read_file(path)?, is_new)
            }
            read => (read?, false),
        };
        Ok(Self { keys: Arc::new(RwLock::new(keys)), path: Some(path.to_owned()), is_new })
    }

    /// Takes back the file that was made as there was none, when it turns out that the database has a key: whoever looks for that one must
    /// not take this for it. Gives where it was.
    pub(crate) fn take_back_new_file(&self) -> Option<PathBuf> {
        let path = self.path.as_ref().filter(|_| self.is_new)?;
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(%error, ?path, "a master key that opens nothing was made, and cannot be removed; remove it");
        }
        Some(path.clone())
    }

    /// A key from elsewhere, for tests and key stores.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self { keys: Arc::new(RwLock::new(vec![SealingKey::from_bytes(bytes)])), path: None, is_new: false }
    }

    /// A key of its own for another purpose than sealing (HKDF-SHA256, RFC 5869): who has it learns nothing of the master key.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        derive(&self.current(), purpose)
    }

    /// The same of each key, that of the one that seals first.
    pub(crate) fn derive_each(&self, purpose: &[u8]) -> Vec<Zeroizing<[u8; KEY_BYTES]>> {
        self.read().iter().map(|key| derive(key, purpose)).collect()
    }

    /// The same of the key of this id, if it is here.
    pub(crate) fn derive_by(&self, id: MasterKeyId, purpose: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        self.read().iter().find(|key| MasterKeyId::of(key) == id).map(|key| derive(key, purpose))
    }

    /// The key that seals.
    pub(crate) fn id(&self) -> MasterKeyId {
        MasterKeyId::of(&self.current())
    }

    /// All keys, the one that seals first.
    #[must_use]
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.read().iter().map(MasterKeyId::of).collect()
    }

    /// Seals, and names the key: [`SEALED_BY`], the key's id, and what [`SealingKey::seal`] gives.
    pub(crate) fn seal(&self, plain: &[u8], place: Place) -> Result<Vec<u8>, SealError> {
        let key = self.current();
        let sealed = key.seal(plain, place)?;
        Ok([MasterKeyId::of(&key).prefix().as_slice(), &sealed].concat())
    }

    /// Opens what any of the keys has sealed, also what was sealed before keys were named.
    pub(crate) fn open(&self, sealed: &[u8], place: Place) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let refused = SealError::DoesNotOpen { table: place.table, column: place.column };
        let keys = self.read();
        match sealed.split_first() {
            Some((&SEALED_BY, rest)) => {
                let (id, sealed) = rest.split_first_chunk::<ID_BYTES>().ok_or(refused)?;
                let key = keys.iter().find(|key| MasterKeyId::of(key) == MasterKeyId(*id)).ok_or(refused)?;
                key.open(sealed, place)
            }
            Some(_) | None => {
                let mut outcome = Err(refused);
                for key in keys.iter() {
                    outcome = key.open(sealed, place);
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome
            }
        }
    }

    /// Seals the data key of an account.
    pub(crate) fn seal_key(&self, key: &SealingKey, account: AccountId) -> Result<Vec<u8>, SealError> {
        self.seal(key.bytes(), Place::data_key(account))
    }

    /// Opens the data key of an account.
    pub(crate) fn open_key(&self, sealed: &[u8], account: AccountId) -> Result<SealingKey, SealError> {
        let place = Place::data_key(account);
        let plain = self.open(sealed, place)?;
        SealingKey::from_slice(&plain).ok_or(SealError::DoesNotOpen { table: place.table, column: place.column })
    }

    /// A key that opens, if it is here.
    pub(crate) fn key(&self, id: MasterKeyId) -> Option<SealingKey> {
        self.read().iter().find(|key| MasterKeyId::of(key) == id).cloned()
    }

    /// Takes a key that opens, after those that are here.
    pub(crate) fn add(&self, key: &SealingKey) -> Result<(), MasterKeyError> {
        let id = MasterKeyId::of(key);
        self.change(|keys| {
            if keys.iter().all(|known| MasterKeyId::of(known) != id) {
                keys.push(key.clone());
            }
        })
    }

    /// Has a key that is here seal from now on.
    pub(crate) fn promote(&self, id: MasterKeyId) -> Result<(), MasterKeyError> {
        self.change(|keys| keys.sort_by_key(|key| MasterKeyId::of(key) != id))
    }

    /// Forgets a key, unless it is the only one.
    pub(crate) fn remove(&self, id: MasterKeyId) -> Result<(), MasterKeyError> {
        self.change(|keys| {
            if keys.len() > 1 {
                keys.retain(|key| MasterKeyId::of(key) != id);
            }
        })
    }

    /// Changes the file first: what was sealed by a key must open after a crash.
    fn change(&self, change: impl Fn(&mut Vec<SealingKey>)) -> Result<(), MasterKeyError> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            // Another process of this node may have changed it.
            let kept = read_file(path)?;
            let mut next = kept.clone();
            change(&mut next);
            if !next.iter().map(MasterKeyId::of).eq(kept.iter().map(MasterKeyId::of)) {
                replace(path, &next)?;
            }
        }
        change(&mut keys);
        Ok(())
    }

    fn current(&self) -> SealingKey {
        self.read().first().cloned().expect("there is always a key")
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<SealingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MasterKeyId {
    pub(crate) fn of(key: &SealingKey) -> Self {
        let [a, b, c, d, ..] = *derive(key, b"tandem key id");
        Self([a, b, c, d])
    }

    /// How everything begins that the key has sealed.
    pub(crate) fn prefix(self) -> [u8; 1 + ID_BYTES] {
        let [a, b, c, d] = self.0;
        [SEALED_BY, a, b, c, d]
    }
}

impl std::fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl std::str::FromStr for MasterKeyId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; ID_BYTES];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

fn derive(key: &SealingKey, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    Hkdf::<Sha256>::new(None, key.bytes())
        .expand(purpose, derived.as_mut_slice())
        .expect("32 bytes are fewer than HKDF gives at most");
    derived
}

fn read_file(path: &Path) -> Result<Vec<SealingKey>, MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), action: "read", source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(MasterKeyError::ReadableByOthers { path: path.to_owned(), mode });
    }
    let malformed = || MasterKeyError::Malformed { path: path.to_owned() };
    // One byte more would be too many.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
    file.take(MAX_FILE_BYTES as u64).read_to_end(&mut text).map_err(failed)?;
    let mut keys = Vec::new();
    for line in text.trim_ascii().split(|byte| *byte == b'\n') {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(line.trim_ascii(), bytes.as_mut_slice()).map_err(|_| malformed())?;
        keys.push(SealingKey::from_bytes(*bytes));
    }
    if keys.len() > MAX_KEYS { Err(malformed()) } else { Ok(keys) }
}

/// Puts keys in the place of those of the file, in one step, for the same user.
fn replace(path: &Path, keys: &[SealingKey]) -> Result<(), MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), action: "replaced", source };
    let draft = draft_of(path)?;
    let replaced = fs::metadata(path).and_then(|kept| {
        write_draft(&draft, keys)?;
        // Who rotates as root must not lock the server's user out.
        std::os::unix::fs::chown(&draft, Some(kept.uid()), Some(kept.gid()))?;
        fs::rename(&draft, path)
    });
    if replaced.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&draft);
    }
    replaced.map_err(failed)?;
    sync_folder(path).map_err(failed)
}

/// Writes a new key beside the place and links it there: the file appears whole or not at all, and never replaces another.
/// Whether it was made: another process may have been faster, and then its key counts.
fn create(path: &Path) -> Result<bool, MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), action: "made", source };
    let key = SealingKey::generate().map_err(MasterKeyError::Randomness)?;
    let draft = draft_of(path)?;
    let made = write_draft(&draft, &[key]).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    });
    let removed = fs::remove_file(&draft);
    let made = made.and_then(|made| removed.map(|()| made)).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    Ok(made)
}

/// A name beside the file that nobody else uses.
fn draft_of(path: &Path) -> Result<PathBuf, MasterKeyError> {
    let suffix = random::<8>().map_err(MasterKeyError::Randomness)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex::encode(suffix)));
    Ok(PathBuf::from(draft))
}

fn write_draft(draft: &Path, keys: &[SealingKey]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    for key in keys {
        let digits = Zeroizing::new(hex::encode(key.bytes()));
        file.write_all(digits.as_bytes())?;
        file.write_all(b"\n")?;
    }
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
    /// Not 64 hexadecimal digits a line.
    #[error(
        "the master key {path:?} is not 64 hexadecimal digits a line, at most three lines; restore it from a backup"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the master key {path:?} cannot be {action}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read`, `made` or `replaced`.
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
/// The old one, the new one, and one that a rotation made that was never finished.
const MAX_KEYS: usize = 3;
/// 64 digits and a few bytes of white space each; one byte more.
const MAX_FILE_BYTES: usize = MAX_KEYS * 80 + 1;
/// Few keys ever meet; this only tells them apart.
const ID_BYTES: usize = 4;
/// How what a master key has sealed begins. What was sealed before begins with the version of the seal, which is another number.
const SEALED_BY: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_not_shown() {
        assert_eq!(format!("{:?}", MasterKey::from_bytes([7; 32])), "MasterKey(…)");
    }

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
    fn keys_are_added_promoted_and_removed_in_the_file_and_open_what_they_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let key = MasterKey::load_or_create(&path).unwrap();
        let account = AccountId::from_uuid(uuid::Uuid::from_u128(1));
        let place = Place::data_key(account);
        let old = key.id();
        let unnamed = key.current().seal(b"before keys were named", place).unwrap();
        let by_old = key.seal(b"secret", place).unwrap();
        let next = SealingKey::generate().unwrap();
        let new = MasterKeyId::of(&next);
        key.add(&next).unwrap();
        key.add(&next).unwrap();
        assert_eq!(key.ids(), [old, new]);
        key.promote(new).unwrap();
        let by_new = key.seal(b"secret", place).unwrap();
        assert!(by_new.starts_with(&new.prefix()) && by_old.starts_with(&old.prefix()));
        let again = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(again.ids(), [new, old]);
        for sealed in [&unnamed, &by_old, &by_new] {
            again.open(sealed, place).unwrap();
        }
        again.remove(old).unwrap();
        again.remove(new).unwrap();
        assert_eq!(MasterKey::load_or_create(&path).unwrap().ids(), [new], "the only one stays");
        assert!(again.open(&by_old, place).is_err() && again.open(&unnamed, place).is_err());
        again.open(&by_new, place).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
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
