use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::Secret;
use tandem_store::PasswordHash;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// Hashes and compares passwords, a few at a time and on threads that may take their time.
#[derive(Clone)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    /// Argon2id hashes computed to compare a password: sign-ins must not differ in how many they take.
    compared: Arc<AtomicU64>,
}

/// Why a password was not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordsError {
    #[error("too many passwords are being looked at")]
    Busy,
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), compared: Arc::default() }
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: Secret) -> Result<PasswordHash, PasswordsError> {
        Ok(self.aside(move || hash_password(&password)).await??)
    }

    /// Whether the password is the one that was hashed. Without a hash it takes as long, and is not.
    pub(super) async fn verify(&self, password: Secret, hash: Option<PasswordHash>) -> Result<bool, PasswordsError> {
        let count = Arc::clone(&self.compared);
        self.aside(move || {
            let compared = hash.as_ref().map_or(NOBODYS, PasswordHash::as_str);
            count.fetch_add(1, Ordering::Relaxed);
            let is_right = hasher().verify_password(password.expose().as_bytes(), compared).is_ok();
            is_right && hash.is_some()
        })
        .await
    }

    /// How many passwords were compared since the process began, each with one hash.
    pub(crate) fn compared(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// Does on a thread for it what takes long, once one of the few places is free.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordsError> {
        let waited = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place: OwnedSemaphorePermit = waited.ok().and_then(Result::ok).ok_or(PasswordsError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        // It ends early only with the process.
        done.await.map_err(|_| PasswordsError::Busy)
    }
}

/// The Argon2id hash (RFC 9106) of a password, with a salt of its own. Takes tens of milliseconds and 19 MiB, on purpose.
///
/// # Errors
/// The operating system gives no random bytes.
pub fn hash_password(password: &Secret) -> Result<PasswordHash, getrandom::Error> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    Ok(hash_with(password, &salt))
}

/// A password for somebody who was not asked for one: 128 random bits.
///
/// # Errors
/// The operating system gives no random bytes.
pub fn generate_password() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 16]);
    getrandom::fill(bytes.as_mut_slice())?;
    let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
    // In groups, so that it can be read out.
    let groups: Zeroizing<Vec<u8>> = Zeroizing::new(digits.as_bytes().chunks(4).collect::<Vec<_>>().join(&b'-'));
    Ok(Secret::new(String::from_utf8_lossy(&groups)))
}

/// How many characters a password has. Length is all that is asked for: rules of composition make passwords no better
/// (NIST SP 800-63B §3.1.1).
pub const PASSWORD_LENGTH: RangeInclusive<usize> = 12..=128;

fn hash_with(password: &Secret, salt: &[u8]) -> PasswordHash {
    let hashed = hasher().hash_password_with_salt(password.expose().as_bytes(), salt);
    PasswordHash::new(hashed.expect("a salt of 16 bytes and any password are taken").to_string())
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, LANES, None).expect("these are within the bounds of RFC 9106");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What the password of a user who is not there is compared with: a hash that takes what every other takes, and that nobody knows a
/// password for. It is written down, as the first unknown user after a start would wait for it to be computed.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What OWASP's Password Storage Cheat Sheet asks of Argon2id at least: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const ITERATIONS: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Passwords looked at together: they take a processor and 19 MiB each, and calls come first.
const PLACES: usize = 2;
/// How long a request waits for its place.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_else_is() {
        let passwords = Passwords::new();
        let hash = passwords.hash(Secret::new("correct horse battery")).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let other = passwords.hash(Secret::new("correct horse battery")).await.unwrap();
        assert_ne!(hash, other, "each has a salt of its own");
        assert!(passwords.verify(Secret::new("correct horse battery"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Secret::new("correct horse batter"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(Secret::new("nobody"), None).await.unwrap());
        assert!(!passwords.verify(Secret::new("x"), Some(PasswordHash::new("damaged"))).await.unwrap());
    }

    #[tokio::test]
    async fn a_user_who_is_not_there_takes_the_work_of_one_who_is() {
        let passwords = Passwords::new();
        let hash = passwords.hash(Secret::new("correct horse battery")).await.unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(NOBODYS), parameters(hash.as_str()), "the cost is in the parameters");
        assert_eq!(NOBODYS.len(), hash.as_str().len(), "and in the sizes of salt and hash");
        // Not one that is refused before anything is computed.
        let refused = hasher().verify_password(b"x", NOBODYS).unwrap_err();
        assert_eq!(refused, argon2::password_hash::Error::PasswordInvalid);
        for (hash, compared) in [(None, 1), (Some(hash), 2)] {
            assert!(!passwords.verify(Secret::new("x"), hash).await.unwrap());
            assert_eq!(passwords.compared(), compared);
        }
    }

    #[test]
    fn generated_passwords_are_long_enough_and_differ() {
        let [one, other] = [generate_password().unwrap(), generate_password().unwrap()];
        assert!(PASSWORD_LENGTH.contains(&one.expose().len()), "{}", one.expose());
        assert_ne!(one.expose(), other.expose());
    }
}
