use super::NODE;
use super::chain::{HEAD, Head, Link, details_hash};
use super::note::{NOTE, Notes};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{DatabaseError, MAX_PAGE, MasterKey, Store};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use tandem_model::AccountId;

/// What a look at every log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Logs that were looked at.
    pub logs: u64,
    /// Entries that were looked at.
    pub entries: u64,
    /// Entries whose details a later entry says were taken away.
    pub redacted: u64,
    /// The last entry of the node's log, to be kept elsewhere: its number and its hash in hexadecimal digits.
    pub node_head: Option<(u64, String)>,
    /// What does not hold, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

/// Something in a log that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose log; [`NODE`] is the node's.
    pub account: AccountId,
    /// At which entry, if it is about one.
    pub number: Option<u64>,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An entry is not there.
    Missing,
    /// The entry is not the one that followed its predecessor: one of the two was changed or put there.
    Broken,
    /// What is kept of the fields is not what was written.
    DetailsChanged,
    /// Nothing is kept of the fields, and no later entry says that they were taken away.
    DetailsMissing,
    /// The entry is beyond the end of the log.
    BeyondEnd,
    /// The last entries are not there.
    EndMissing,
    /// Who set the end of the log did not have the master key.
    HeadForged,
    /// The end of the log is set with a master key that this node does not have.
    HeadOfOtherKey,
    /// The node's log says that this one began, and it is not there.
    LogMissing,
    /// The node's log does not say that this one began.
    LogUnannounced,
    /// The node's log says once more that a log began: it had been taken away.
    BegunAgain,
    /// The node's log has noted another end of this log than it has had since: it was put back to an earlier state.
    PutBack,
    /// What came before this entry was not as this node had left it when it was written: cut, written anew, or gone.
    Break,
}

impl Verified {
    /// Whether everything holds.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, account: AccountId, number: Option<u64>, fault: Fault) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { account, number, fault });
        }
    }
}

impl Fault {
    /// The spelling for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Broken => "broken",
            Self::DetailsChanged => "details_changed",
            Self::DetailsMissing => "details_missing",
            Self::BeyondEnd => "beyond_end",
            Self::EndMissing => "end_missing",
            Self::HeadForged => "head_forged",
            Self::HeadOfOtherKey => "head_of_other_key",
            Self::LogMissing => "log_missing",
            Self::LogUnannounced => "log_unannounced",
            Self::BegunAgain => "begun_again",
            Self::PutBack => "put_back",
            Self::Break => "break",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the entry is missing",
            Self::Broken => "the entry does not follow from the one before it: one of the two was changed",
            Self::DetailsChanged => "the details were changed",
            Self::DetailsMissing => "the details are missing, and no later entry says that they were erased",
            Self::BeyondEnd => "the entry was added beyond the end of the log",
            Self::EndMissing => "the last entries are missing",
            Self::HeadForged => "the end of the log was not set by this node: it was cut or written anew",
            Self::HeadOfOtherKey => "the end of the log was set with a master key that is not here",
            Self::LogMissing => "the whole log is missing",
            Self::LogUnannounced => "the node's log does not know of this log",
            Self::BegunAgain => "a log began here that had begun before: the whole of it had been taken away",
            Self::PutBack => "the log was put back to an earlier state: the node's log has noted what came after",
            Self::Break => "what came before the entry had been cut or written anew when it was written",
        })
    }
}

/// Findings that are told; a log that was written anew has one for each entry.
pub const MAX_FINDINGS: usize = 1_000;

/// Where a log stands while it is looked at.
struct Walk {
    account: AccountId,
    /// The number that the next entry must have.
    next: u64,
    /// The hash that it must follow.
    previous: Vec<u8>,
    /// Entries without details of which no later one has spoken yet.
    bare: BTreeSet<u64>,
    /// What the node's log has noted of it, and was not compared yet.
    noted: VecDeque<(u64, Vec<u8>)>,
}

struct StoredHead {
    account: AccountId,
    first: u64,
    anchor: Vec<u8>,
    last: u64,
    hash: Vec<u8>,
    key_id: String,
    mac: Vec<u8>,
}

impl Store {
    /// Looks at every entry of every log, everything as of one moment.
    ///
    /// # Errors
    /// [`DatabaseError`]; what is wrong with a log is in the answer.
    pub async fn verify_audit_log(&self) -> Result<Verified, DatabaseError> {
        let mut verified = Verified::default();
        let mut begun = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut notes = Notes::default();
        on_pool!(self, pools => {
            let mut transaction = pools.snapshot().await?;
            // The node's log is the first: its account is all zeros.
            let mut after = None;
            loop {
                let rows = sqlx::query(HEADS)
                    .bind(after)
                    .bind(i64::from(MAX_PAGE))
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    let head = read_head(row)?;
                    after = Some(head.account.as_uuid());
                    seen.insert(head.account);
                    self.look_at_head(&head, &mut verified);
                    let mut walk = Walk::new(&head, notes.take_of(head.account));
                    let mut number = 0_i64;
                    loop {
                        let rows = sqlx::query(ENTRIES)
                            .bind(head.account.as_uuid())
                            .bind(number)
                            .bind(i64::from(MAX_PAGE))
                            .fetch_all(&mut *transaction)
                            .await?;
                        for row in &rows {
                            number = row.integer("number")?;
                            walk.step(row, &head, &mut verified, &mut begun, &mut notes)?;
                        }
                        if rows.len() < MAX_PAGE as usize {
                            break;
                        }
                    }
                    walk.end(&head, &mut verified);
                }
                if rows.len() < MAX_PAGE as usize {
                    break;
                }
            }
            // Entries of a log without a head: whoever took the head away left them.
            let rows = sqlx::query(HEADLESS).bind(i64::from(MAX_PAGE)).fetch_all(&mut *transaction).await?;
            for row in &rows {
                begun.insert(AccountId::from_uuid(row.uuid("account_id")?));
            }
            let has_accounts = sqlx::query("SELECT id FROM accounts LIMIT 1").fetch_optional(&mut *transaction).await?;
            // The first account that is made with this build has the node's log begin, and each start sees to it that there is one.
            if has_accounts.is_some() {
                begun.insert(NODE);
            }
            transaction.rollback().await?;
        });
        for &account in begun.difference(&seen) {
            verified.find(account, None, Fault::LogMissing);
        }
        for &account in seen.difference(&begun) {
            if account != NODE {
                verified.find(account, None, Fault::LogUnannounced);
            }
        }
        Ok(verified)
    }

    fn look_at_head(&self, head: &StoredHead, verified: &mut Verified) {
        verified.logs += 1;
        match head.is_authentic(self.master_key()) {
            None => verified.find(head.account, None, Fault::HeadOfOtherKey),
            Some(false) => verified.find(head.account, None, Fault::HeadForged),
            Some(true) => {}
        }
        if head.account == NODE {
            verified.node_head = Some((head.last, hex::encode(&head.hash)));
        }
    }
}

impl Walk {
    fn new(head: &StoredHead, mut noted: VecDeque<(u64, Vec<u8>)>) -> Self {
        // Entries that are no longer kept are not compared.
        noted.retain(|(number, _)| *number >= head.first);
        Self { account: head.account, next: head.first, previous: head.anchor.clone(), bare: BTreeSet::new(), noted }
    }

    fn step<R: Columns>(
        &mut self,
        row: &R,
        head: &StoredHead,
        verified: &mut Verified,
        begun: &mut BTreeSet<AccountId>,
        notes: &mut Notes,
    ) -> Result<(), DatabaseError> {
        verified.entries += 1;
        let number: u64 = row.number("number")?;
        if number > head.last || number < head.first {
            verified.find(self.account, Some(number), Fault::BeyondEnd);
            return Ok(());
        }
        if number != self.next {
            verified.find(self.account, Some(self.next), Fault::Missing);
        }
        let (actor_kind, actor_name) = (row.text("actor_kind")?, row.text("actor_name")?);
        let (action, resource_type) = (row.text("action")?, row.text("resource_type")?);
        let resource_id = row.text("resource_id")?;
        let (source, request_id, redacts) =
            (row.text_opt("source")?, row.text_opt("request_id")?, row.text_opt("redacts")?);
        let details_sha256 = row.bytes("details_sha256")?;
        let link = Link {
            account: self.account,
            number,
            at_micros: row.integer("at")?,
            actor_kind: &actor_kind,
            actor_id: row.uuid_opt("actor_id")?,
            actor_name: &actor_name,
            actor_account: row.uuid_opt("actor_account_id")?,
            on_behalf_of: row.uuid_opt("on_behalf_of")?,
            source: source.as_deref(),
            request_id: request_id.as_deref(),
            action: &action,
            resource_type: &resource_type,
            resource_id: &resource_id,
            node_id: row.uuid("node_id")?,
            redacts: redacts.as_deref(),
            details_sha256: &details_sha256,
        };
        let hash = row.bytes("hash")?;
        // After a gap nobody knows what came before.
        if number == self.next && link.hash(&self.previous).as_slice() != hash {
            verified.find(self.account, Some(number), Fault::Broken);
        }
        match (row.text_opt("details")?, row.bytes_opt("details_salt")?) {
            (Some(details), Some(salt)) => {
                if details_hash(&salt, &details).as_slice() != details_sha256 {
                    verified.find(self.account, Some(number), Fault::DetailsChanged);
                }
            }
            (None, None) => {
                self.bare.insert(number);
            }
            (Some(_), None) | (None, Some(_)) => verified.find(self.account, Some(number), Fault::DetailsChanged),
        }
        for number in row.json_opt::<Vec<u64>>("redacts")?.unwrap_or_default() {
            if self.bare.remove(&number) {
                verified.redacted += 1;
            }
        }
        if self.account == NODE
            && action == BEGIN
            && let Ok(account) = resource_id.parse()
            && !begun.insert(account)
        {
            verified.find(self.account, Some(number), Fault::BegunAgain);
        }
        if self.account == NODE
            && action == NOTE
            && let Some(details) = row.json_opt("details")?
        {
            for account in notes.take(&details) {
                verified.find(account, None, Fault::PutBack);
            }
        }
        while let Some((of, noted)) = self.noted.pop_front_if(|(of, _)| *of <= number) {
            if of == number && noted != hash {
                verified.find(self.account, Some(number), Fault::PutBack);
            }
        }
        if action == BREAK {
            verified.find(self.account, Some(number), Fault::Break);
        }
        self.previous = hash;
        self.next = number + 1;
        Ok(())
    }

    fn end(self, head: &StoredHead, verified: &mut Verified) {
        if self.next <= head.last {
            verified.find(self.account, Some(self.next), Fault::EndMissing);
        } else if self.previous != head.hash {
            verified.find(self.account, Some(head.last), Fault::Broken);
        }
        if !self.noted.is_empty() {
            verified.find(self.account, None, Fault::PutBack);
        }
        for number in self.bare {
            verified.find(self.account, Some(number), Fault::DetailsMissing);
        }
    }
}

impl StoredHead {
    /// Whether who set it had the key that it names; `None` when that is not here.
    fn is_authentic(&self, keys: &MasterKey) -> Option<bool> {
        let key = keys.derive_by(self.key_id.parse().ok()?, HEAD)?;
        Some(self.as_head().is_authentic(&key, &self.mac))
    }

    fn as_head(&self) -> Head<'_> {
        Head { account: self.account, first: self.first, anchor: &self.anchor, last: self.last, hash: &self.hash }
    }
}

/// How the head of a log is found by who adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadState {
    /// As this node, or one with the same master key, has set it.
    Authentic,
    /// Set without the master key.
    Forged,
    /// Set with a master key that is not here.
    OfOtherKey,
    /// It is not there, and other logs say that it was.
    Lost,
}

impl HeadState {
    /// What is wrong with it, as [`Fault::as_str`] spells it.
    pub(super) const fn fault(self) -> Option<&'static str> {
        match self {
            Self::Authentic => None,
            Self::Forged => Some(Fault::HeadForged.as_str()),
            Self::OfOtherKey => Some(Fault::HeadOfOtherKey.as_str()),
            Self::Lost => Some(Fault::LogMissing.as_str()),
        }
    }
}

/// The state of a head of this row, which numbers have been taken from but no other hash written to, when this was its last entry.
pub(super) fn head_before<R: Columns>(keys: &MasterKey, row: &R, last: u64) -> Result<HeadState, DatabaseError> {
    let head = StoredHead { last, ..read_head(row)? };
    Ok(match head.is_authentic(keys) {
        Some(true) => HeadState::Authentic,
        Some(false) => HeadState::Forged,
        None => HeadState::OfOtherKey,
    })
}

/// A head under another key than it was set with.
pub(crate) enum RemacOutcome {
    /// The key that seals now, and the MAC under it.
    Moved { key_id: String, mac: Vec<u8> },
    /// It was not authentic before.
    Forged,
}

/// Authenticates a row of `audit_heads` with the key that seals now.
pub(crate) fn remac_head<R: Columns>(keys: &MasterKey, row: &R) -> Result<RemacOutcome, DatabaseError> {
    let head = read_head(row)?;
    if head.is_authentic(keys) != Some(true) {
        return Ok(RemacOutcome::Forged);
    }
    let id = keys.id();
    let Some(key) = keys.derive_by(id, HEAD) else { return Ok(RemacOutcome::Forged) };
    Ok(RemacOutcome::Moved { key_id: id.to_string(), mac: head.as_head().mac(&key).to_vec() })
}

/// What the head of a log holds after its oldest entries were removed.
pub(crate) struct Truncated {
    pub(crate) key_id: String,
    pub(crate) mac: Vec<u8>,
}

/// Lets the log of this row of `audit_heads` begin with an entry, before which came one of this hash; `None` when the head is not
/// authentic.
pub(crate) fn truncate_head<R: Columns>(
    keys: &MasterKey,
    row: &R,
    first: u64,
    anchor: &[u8],
) -> Result<Option<Truncated>, DatabaseError> {
    let head = read_head(row)?;
    if head.is_authentic(keys) != Some(true) {
        return Ok(None);
    }
    let id = keys.id();
    Ok(keys.derive_by(id, HEAD).map(|key| {
        let mac = Head { first, anchor, ..head.as_head() }.mac(&key).to_vec();
        Truncated { key_id: id.to_string(), mac }
    }))
}

fn read_head<R: Columns>(row: &R) -> Result<StoredHead, DatabaseError> {
    Ok(StoredHead {
        account: AccountId::from_uuid(row.uuid("account_id")?),
        first: row.number("first_number")?,
        anchor: row.bytes("anchor")?,
        last: row.number("last_number")?,
        hash: row.bytes("hash")?,
        key_id: row.text("key_id")?,
        mac: row.bytes("mac")?,
    })
}

/// What a log says of a head that was not as this node had left it.
pub(super) const BREAK: &str = "audit_log.break";
/// What the node's log says when another begins.
pub(super) const BEGIN: &str = "audit_log.begin";

const HEADS: &str =
    "SELECT * FROM audit_heads WHERE account_id > coalesce($1, account_id) OR $1 IS NULL ORDER BY account_id LIMIT $2";
const ENTRIES: &str = "SELECT * FROM audit_log WHERE account_id = $1 AND number > $2 ORDER BY number LIMIT $3";
const HEADLESS: &str = "SELECT DISTINCT account_id FROM audit_log
    WHERE account_id NOT IN (SELECT account_id FROM audit_heads) LIMIT $1";
