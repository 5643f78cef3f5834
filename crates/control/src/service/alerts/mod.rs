//! Alerts: raised and cleared by rules, taken on and resolved by people.

mod judge;
mod measure;
mod text;
mod watch;

pub(crate) use text::advice;

use crate::service::{Caller, Core, ListRequest, Page};
use crate::wire::AlertSettingsEdit;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_model::{Alert, AlertId, AlertRule, AlertSettings, AlertState};
use tandem_store::{AlertFilter, ChangeAlertError, ChangeAlertSettingsError, ComposeMail, DatabaseError};
use watch::Watch;

/// Alerts of the account, and what raises them.
#[derive(Clone)]
pub(crate) struct Alerts {
    core: Arc<Core>,
    currency: Arc<str>,
    /// What writes mails; `None` where none can be sent.
    compose: Option<ComposeMail>,
    /// One turn at a time.
    watch: Arc<tokio::sync::Mutex<Watch>>,
    /// How many are open, as the last turn left it.
    open: Arc<Mutex<BTreeMap<(AlertRule, AlertState), u64>>>,
}

/// Why an alert is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindAlertError {
    #[error("no such alert")]
    NotFound,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Alerts {
    pub(super) fn new(core: Arc<Core>, currency: Arc<str>, sends_mail: bool) -> Self {
        let compose: Option<ComposeMail> = if sends_mail { Some(text::mail) } else { None };
        Self { core, currency, compose, watch: Arc::default(), open: Arc::default() }
    }

    /// Alerts, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<AlertFilter>,
    ) -> Result<Page<Alert>, DatabaseError> {
        let (store, account, filter) = (&self.core.store, caller.account_id(), &request.filter);
        request.answer(store.alerts(account, filter, &request.part), store.count_alerts(account, filter)).await
    }

    /// One alert.
    pub(crate) async fn read(&self, caller: &Caller, id: AlertId) -> Result<Alert, FindAlertError> {
        self.core.store.alert(caller.account_id(), id).await?.ok_or(FindAlertError::NotFound)
    }

    /// Somebody takes an alert on.
    pub(crate) async fn acknowledge(
        &self,
        caller: &Caller,
        id: AlertId,
        note: Option<String>,
    ) -> Result<Alert, ChangeAlertError> {
        let act = caller.act(self.core.now());
        self.core.store.acknowledge_alert(&act, caller.account_id(), id, note).await
    }

    /// Somebody says that an alert is over.
    pub(crate) async fn resolve(
        &self,
        caller: &Caller,
        id: AlertId,
        note: Option<String>,
    ) -> Result<Alert, ChangeAlertError> {
        let act = caller.act(self.core.now());
        self.core.store.resolve_alert(&act, caller.account_id(), id, note, self.compose).await
    }

    /// What the account wants to be told of.
    pub(crate) async fn settings(&self, caller: &Caller) -> Result<AlertSettings, DatabaseError> {
        self.core.store.alert_settings(caller.account_id()).await
    }

    /// Changes the fields that were sent.
    pub(crate) async fn change_settings(
        &self,
        caller: &Caller,
        edit: AlertSettingsEdit,
    ) -> Result<AlertSettings, ChangeAlertSettingsError> {
        let act = caller.act(self.core.now());
        self.core.store.change_alert_settings(&act, caller.account_id(), |settings| edit.apply(settings)).await
    }

    /// How many are open, by rule and state, as the last turn left it; those too that could not be written yet.
    pub(crate) fn open(&self) -> BTreeMap<(AlertRule, AlertState), u64> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes those that have been over for long.
    pub(crate) async fn remove_old(&self) -> Result<(), DatabaseError> {
        let before = self.core.now().saturating_sub(KEPT_FOR);
        while self.core.store.remove_alerts_before(before).await? > 0 {}
        Ok(())
    }
}

/// How long alerts are kept that are over.
const KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);
