use crate::service::shares::{Share, Shares};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::{AccountId, Secret};
use tandem_store::PasswordHash;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// Hashes and compares passwords, a few at a time and on threads that may take their time.
///
/// Whoever signs in has places of their own: what accounts ask for, however much it is, keeps nobody from signing in.
#[derive(Clone)]
pub(crate) struct Passwords {
    sign_ins: Arc<Semaphore>,
    of_accounts: Arc<Semaphore>,
    /// How many of each account wait for a place, or have one.
    asked: Shares<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Argon2id hashes computed to compare a password: sign-ins must not differ in how many they take.
    compared: AtomicU64,
    /// Argon2id hashes computed of new passwords.
    hashed: AtomicU64,
}

/// A place to look at one password.
pub(super) struct Turn {
    counts: Arc<Counts>,
    _place: OwnedSemaphorePermit,
    _asked: Option<Share<()>>,
}

/// Why a password was not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordsError {
    #[error("too many passwords are being looked at")]
    Busy,
    #[error("too many passwords are being looked at for the account")]
    AccountBusy,
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            sign_ins: Arc::new(Semaphore::new(SIGN_IN_PLACES)),
            of_accounts: Arc::new(Semaphore::new(ACCOUNT_PLACES)),
            asked: Shares::default(),
            counts: Arc::default(),
        }
    }

    /// A place for somebody who signs in.
    pub(super) async fn turn_to_sign_in(&self) -> Result<Turn, PasswordsError> {
        self.turn(&self.sign_ins, None).await
    }

    /// A place for what an account asks for, which has few that wait.
    pub(super) async fn turn_of(&self, account: AccountId) -> Result<Turn, PasswordsError> {
        let asked = self.asked.take(account, MOST_OF_ACCOUNT).ok_or(PasswordsError::AccountBusy)?;
        self.turn(&self.of_accounts, Some(asked)).await
    }

    /// What stands for a hash where none will be stored.
    pub(super) fn stand_in() -> PasswordHash {
        PasswordHash::new(NOBODYS)
    }

    /// How many passwords were compared since the process began, each with one hash.
    pub(crate) fn compared(&self) -> u64 {
        self.counts.compared.load(Ordering::Relaxed)
    }

    /// How many new passwords were hashed since the process began.
    pub(crate) fn hashed(&self) -> u64 {
        self.counts.hashed.load(Ordering::Relaxed)
    }

    async fn turn(&self, places: &Arc<Semaphore>, asked: Option<Share<()>>) -> Result<Turn, PasswordsError> {
        let waited = tokio::time::timeout(PATIENCE, Arc::clone(places).acquire_owned()).await;
        let place = waited.ok().and_then(Result::ok).ok_or(PasswordsError::Busy)?;
        Ok(Turn { counts: Arc::clone(&self.counts), _place: place, _asked: asked })
    }
}

impl Turn {
    /// The hash of a new password.
    pub(super) async fn hash(self, password: Secret) -> Result<PasswordHash, PasswordsError> {
        let hashed = self.aside(move |counts| {
            counts.hashed.fetch_add(1, Ordering::Relaxed);
            hash_password(&password)
        });
        Ok(hashed.await??)
    }

    /// Whether the password is the one that was hashed. Without a hash it takes as long, and is not.
    pub(super) async fn verify(self, password: Secret, hash: Option<PasswordHash>) -> Result<bool, PasswordsError> {
        self.aside(move |counts| {
            let compared = hash.as_ref().map_or(NOBODYS, PasswordHash::as_str);
            counts.compared.fetch_add(1, Ordering::Relaxed);
            let is_right = hasher().verify_password(password.expose().as_bytes(), compared).is_ok();
            is_right && hash.is_some()
        })
        .await
    }

    /// Does on a thread for it what takes long, and leaves the place when it is done.
    async fn aside<T: Send + 'static>(
        self,
        work: impl FnOnce(&Counts) -> T + Send + 'static,
    ) -> Result<T, PasswordsError> {
        // It ends early only with the process.
        tokio::task::spawn_blocking(move || work(&self.counts)).await.map_err(|_| PasswordsError::Busy)
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
/// Passwords of sign-ins looked at together: they take a processor and 19 MiB each, and calls come first.
const SIGN_IN_PLACES: usize = 2;
/// Passwords looked at together for accounts that add or change users: nobody waits before a screen for these.
const ACCOUNT_PLACES: usize = 1;
/// Of one account, that wait or are looked at: others wait no longer than these take.
const MOST_OF_ACCOUNT: usize = 4;
/// How long a request waits for its place.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tandem_model::Timestamp;

    async fn hashed(passwords: &Passwords) -> PasswordHash {
        passwords.turn_of(account(1)).await.unwrap().hash(Secret::new("correct horse battery")).await.unwrap()
    }

    async fn verify(passwords: &Passwords, password: Secret, hash: Option<PasswordHash>) -> bool {
        passwords.turn_to_sign_in().await.unwrap().verify(password, hash).await.unwrap()
    }

    fn account(seed: u8) -> AccountId {
        AccountId::new(Timestamp::from_unix_micros(0), [seed; 10])
    }

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_else_is() {
        let passwords = Passwords::new();
        let hash = hashed(&passwords).await;
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        let other = hashed(&passwords).await;
        assert_ne!(hash, other, "each has a salt of its own");
        assert!(verify(&passwords, Secret::new("correct horse battery"), Some(hash.clone())).await);
        assert!(!verify(&passwords, Secret::new("correct horse batter"), Some(hash)).await);
        assert!(!verify(&passwords, Secret::new("nobody"), None).await);
        assert!(!verify(&passwords, Secret::new("x"), Some(PasswordHash::new("damaged"))).await);
    }

    #[tokio::test]
    async fn a_user_who_is_not_there_takes_the_work_of_one_who_is() {
        let passwords = Passwords::new();
        let hash = hashed(&passwords).await;
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(NOBODYS), parameters(hash.as_str()), "the cost is in the parameters");
        assert_eq!(NOBODYS.len(), hash.as_str().len(), "and in the sizes of salt and hash");
        // Not one that is refused before anything is computed.
        let refused = hasher().verify_password(b"x", NOBODYS).unwrap_err();
        assert_eq!(refused, argon2::password_hash::Error::PasswordInvalid);
        for (hash, compared) in [(None, 1), (Some(hash), 2)] {
            assert!(!verify(&passwords, Secret::new("x"), hash).await);
            assert_eq!(passwords.compared(), compared);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_asks_for_much_is_told_so_and_others_are_not() {
        let passwords = Passwords::new();
        let held = passwords.turn_of(account(1)).await.unwrap();
        let mut waiting: Vec<_> = (1..MOST_OF_ACCOUNT).map(|_| Box::pin(passwords.turn_of(account(1)))).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none(), "it waits");
        }
        let refused = passwords.turn_of(account(1)).now_or_never().map(|turn| turn.map(drop));
        assert!(matches!(refused, Some(Err(PasswordsError::AccountBusy))), "{refused:?}");
        let mut other = Box::pin(passwords.turn_of(account(2)));
        assert!((&mut other).now_or_never().is_none(), "it waits for its turn");
        let signing_in = passwords.turn_to_sign_in().now_or_never();
        assert!(signing_in.is_some_and(|turn| turn.is_ok()), "who signs in does not wait for accounts");
        drop((held, waiting));
        assert!(other.await.is_ok());
        assert!(passwords.asked.is_empty(), "who has left is forgotten");
    }

    #[test]
    fn generated_passwords_are_long_enough_and_differ() {
        let [one, other] = [generate_password().unwrap(), generate_password().unwrap()];
        assert!(PASSWORD_LENGTH.contains(&one.expose().len()), "{}", one.expose());
        assert_ne!(one.expose(), other.expose());
    }
}
