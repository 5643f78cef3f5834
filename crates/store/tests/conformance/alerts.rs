use crate::samples::{ACT, account_id, at, call, leg, with_account, with_trunk};
use std::time::Duration;
use tandem_model::{
    AccountId, Alert, AlertId, AlertRule, AlertRuleSettings, AlertSettings, AlertState, EventType, JsonText, Money,
    NodeId, Record, Timestamp,
};
use tandem_store::{
    Act, AlertFilter, ChangeAlertError, ClaimedMail, ComposeMail, MailEnd, MailText, Part, Position, Store,
};
use uuid::Uuid;

fn alert(number: u128, account_id: AccountId) -> Alert {
    Alert {
        id: AlertId::from_uuid(Uuid::from_u128(number)),
        account_id,
        rule: AlertRule::TrunkUtilisation,
        subject: format!("trunks/{number}"),
        severity: AlertRule::TrunkUtilisation.severity(),
        state: AlertState::Raised,
        summary: "The trunk \"main\" carries 9 of its 10 calls.".to_owned(),
        measured: JsonText::from_stored(r#"{"active_calls":9}"#),
        threshold: 80,
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        raised_at: at(i64::try_from(number).unwrap()),
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: None,
        resolved_by: None,
        note: None,
    }
}

const COMPOSE: ComposeMail =
    |alert| MailText { subject: format!("{} {}", alert.state, alert.subject), body: alert.summary.clone() };

async fn open(store: &Store) -> Vec<(String, AlertState)> {
    store.open_alerts().await.unwrap().into_iter().map(|open| (open.subject, open.state)).collect()
}

pub(crate) async fn of_two_who_see_the_same_one_raises(store: &Store) {
    let account = with_account(store, 1).await;
    let one = alert(1, account);
    let other = Alert { id: AlertId::from_uuid(Uuid::from_u128(2)), ..one.clone() };
    let (first, second) = tokio::join!(store.raise_alert(&one, None), store.raise_alert(&other, None));
    assert_ne!(first.unwrap(), second.unwrap(), "one of them");
    assert_eq!(open(store).await, [("trunks/1".to_owned(), AlertState::Raised)]);
    let (first, second) =
        tokio::join!(store.clear_alert(one.id, at(50), None), store.clear_alert(other.id, at(50), None));
    assert_ne!(first.unwrap(), second.unwrap());
    assert_eq!(open(store).await, []);
    let listed = store.alerts(account, &AlertFilter::default(), &Part::page(0, 10)).await.unwrap().rows;
    let [over] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (over.state, over.resolved_at, over.resolved_by.as_deref()),
        (AlertState::Resolved, Some(at(50)), Some("rule"))
    );
    let again = Alert { id: AlertId::from_uuid(Uuid::from_u128(3)), ..one };
    assert!(store.raise_alert(&again, None).await.unwrap(), "it was away");
}

pub(crate) async fn what_a_person_resolved_is_not_raised_while_it_holds(store: &Store) {
    let account = with_account(store, 1).await;
    let one = alert(1, account);
    assert!(store.raise_alert(&one, None).await.unwrap());
    let act = Act { at: at(5), ..ACT.clone() };
    let acknowledged = store.acknowledge_alert(&act, account, one.id, Some("mine".to_owned())).await.unwrap();
    assert_eq!((acknowledged.state, acknowledged.acknowledged_at), (AlertState::Acknowledged, Some(at(5))));
    let dry = Act { dry_run: true, ..act.clone() };
    store.resolve_alert(&dry, account, one.id, None, None).await.unwrap();
    assert_eq!(open(store).await, [("trunks/1".to_owned(), AlertState::Acknowledged)]);
    let resolved = store.resolve_alert(&act, account, one.id, None, None).await.unwrap();
    assert_eq!((resolved.note.as_deref(), resolved.resolved_at), (Some("mine"), Some(at(5))));
    for refused in [
        store.resolve_alert(&act, account, one.id, None, None).await,
        store.acknowledge_alert(&act, account, one.id, None).await,
    ] {
        assert!(matches!(refused, Err(ChangeAlertError::Resolved)), "{refused:?}");
    }
    let again = Alert { id: AlertId::from_uuid(Uuid::from_u128(2)), ..one.clone() };
    assert!(!store.raise_alert(&again, None).await.unwrap(), "it was not away");
    assert_eq!(store.remove_alerts_before(at(100)).await.unwrap(), 0, "it holds");
    assert!(store.clear_alert(one.id, at(9), None).await.unwrap());
    let kept = store.alert(account, one.id).await.unwrap().unwrap();
    assert_eq!(kept, resolved, "who has resolved it stays who has");
    assert!(store.raise_alert(&again, None).await.unwrap());
    assert_eq!(store.remove_alerts_before(at(5)).await.unwrap(), 0);
    assert_eq!(store.remove_alerts_before(at(6)).await.unwrap(), 1);
    let stranger = with_account(store, 2).await;
    let refused = store.resolve_alert(&act, stranger, again.id, None, None).await;
    assert!(matches!(refused, Err(ChangeAlertError::NotFound)), "{refused:?}");
    assert_eq!(store.alert(stranger, again.id).await.unwrap(), None);
}

pub(crate) async fn alerts_are_told_as_events(store: &Store) {
    let account = with_account(store, 1).await;
    store.listen(account).await.unwrap();
    let (one, two) = (alert(1, account), alert(2, account));
    store.raise_alert(&one, None).await.unwrap();
    store.raise_alert(&Alert { id: AlertId::from_uuid(Uuid::from_u128(9)), ..one.clone() }, None).await.unwrap();
    store.raise_alert(&two, None).await.unwrap();
    store.acknowledge_alert(&ACT, account, one.id, None).await.unwrap();
    store.clear_alert(one.id, at(9), None).await.unwrap();
    store.resolve_alert(&ACT, account, two.id, None, None).await.unwrap();
    store.clear_alert(two.id, at(9), None).await.unwrap();
    let events = store.events_after(account, 0, 100).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.subject.clone())).collect();
    let subject = |alert: &Alert| format!("alerts/{}", alert.id);
    assert_eq!(
        kinds,
        [
            (EventType::AlertRaised, subject(&one)),
            (EventType::AlertRaised, subject(&two)),
            (EventType::AlertAcknowledged, subject(&one)),
            (EventType::AlertResolved, subject(&one)),
            (EventType::AlertResolved, subject(&two)),
        ]
    );
    let data = events[0].data.read().unwrap();
    assert_eq!((data["about"].as_str(), data["measured"]["active_calls"].as_i64()), (Some("trunks/1"), Some(9)));
}

pub(crate) async fn alerts_are_listed_by_state_rule_subject_and_time(store: &Store) {
    let account = with_account(store, 1).await;
    for number in 1..=5 {
        store.raise_alert(&alert(number, account), None).await.unwrap();
    }
    let probes =
        Alert { rule: AlertRule::ProbesFailing, severity: AlertRule::ProbesFailing.severity(), ..alert(6, account) };
    store.raise_alert(&probes, None).await.unwrap();
    store.resolve_alert(&ACT, account, alert(2, account).id, None, None).await.unwrap();
    let found = async |filter: AlertFilter| {
        let listed = store.alerts(account, &filter, &Part::page(0, 10)).await.unwrap();
        assert_eq!(store.count_alerts(account, &filter).await.unwrap(), Some(listed.rows.len() as u64));
        listed.rows.iter().map(|alert| alert.id.as_uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(found(AlertFilter::default()).await, [6, 5, 4, 3, 2, 1]);
    let states = vec![AlertState::Resolved, AlertState::Acknowledged];
    assert_eq!(found(AlertFilter { states, ..AlertFilter::default() }).await, [2]);
    assert_eq!(found(AlertFilter { rule: Some(AlertRule::ProbesFailing), ..AlertFilter::default() }).await, [6]);
    assert_eq!(found(AlertFilter { severity: Some(probes.severity), ..AlertFilter::default() }).await, [6]);
    assert_eq!(found(AlertFilter { subject: Some("trunks/4".to_owned()), ..AlertFilter::default() }).await, [4]);
    let time = AlertFilter { from: Some(at(2)), before: Some(at(4)), ..AlertFilter::default() };
    assert_eq!(found(time).await, [3, 2]);
    let mut after: Option<Position> = None;
    let mut seen = Vec::new();
    loop {
        let part = Part { after, limit: 4, reversed: true, ..Part::default() };
        let listed = store.alerts(account, &AlertFilter::default(), &part).await.unwrap();
        seen.extend(listed.rows.iter().map(|alert| alert.id.as_uuid().as_u128()));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
}

pub(crate) async fn settings_of_alerts_are_kept(store: &Store) {
    let account = with_account(store, 1).await;
    assert_eq!(store.alert_settings(account).await.unwrap(), AlertSettings::default());
    let off = AlertRuleSettings { enabled: Some(false), ..AlertRuleSettings::default() };
    let change = |settings: &mut AlertSettings| {
        settings.rules.insert(AlertRule::CostSpike, off);
        settings.mail_to = vec!["noc@example.com".to_owned()];
    };
    let dry = Act { dry_run: true, ..ACT.clone() };
    let shown = store.change_alert_settings(&dry, account, change).await.unwrap();
    assert_eq!(store.alert_settings(account).await.unwrap(), AlertSettings::default());
    assert_eq!(store.change_alert_settings(&ACT, account, change).await.unwrap(), shown);
    assert_eq!(store.alert_settings(account).await.unwrap(), shown);
    assert_eq!(store.every_alert_settings().await.unwrap().into_iter().collect::<Vec<_>>(), [(account, shown)]);
    assert_eq!(store.operators_account().await.unwrap(), None);
    let admin = store.ensure_admin_account(&ACT, "admin").await.unwrap();
    assert_eq!(store.operators_account().await.unwrap(), Some(admin.id));
    assert_eq!(store.running_nodes(at(0)).await.unwrap(), [store.node_id()]);
}

pub(crate) async fn figures_of_alerts_are_read_from_the_statistics(store: &Store) {
    let (account, _) = with_trunk(store, 1).await;
    // Rows of minutes are written of what began lately only.
    let call = call(1, account);
    let leg = leg(1, &call);
    let recent = Timestamp::from_unix_micros(
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros()).unwrap(),
    );
    let leg = tandem_model::LegRecord {
        started_at: recent,
        answered_at: Some(recent),
        ended_at: Some(recent),
        cost: Some(Money::from_micros(12_000_000)),
        ..leg
    };
    store.write_records(&[Record::Call(Box::new(call)), Record::Leg(Box::new(leg.clone()))]).await.unwrap();
    let ago = |minutes: i64| Timestamp::from_unix_micros(recent.unix_micros() - minutes * 60_000_000);
    let traffic = store.recent_traffic(ago(15), ago(60)).await.unwrap();
    let [of_trunk] = traffic.as_slice() else { panic!("{traffic:?}") };
    assert_eq!((of_trunk.account, Some(of_trunk.trunk)), (account, leg.trunk_id));
    assert_eq!((of_trunk.answered, of_trunk.failed, of_trunk.cost), (1, 0, Money::from_micros(12_000_000)));
    let hours = store.hourly_costs(account, ago(120), ago(-60)).await.unwrap();
    assert_eq!(hours.iter().map(|hour| hour.cost.micros()).sum::<i64>(), 12_000_000);
    assert_eq!(store.hourly_costs(account_id(9), ago(120), ago(-60)).await.unwrap(), []);
}

async fn with_recipients(store: &Store) -> AccountId {
    let account = with_account(store, 1).await;
    let recipients = ["a@example.com", "b@example.com"].map(str::to_owned).to_vec();
    store.change_alert_settings(&ACT, account, |settings| settings.mail_to = recipients).await.unwrap();
    account
}

/// The store stamps mails by its own clock: so long after it that all of them are due.
fn later(hours: u64) -> Timestamp {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_micros(0).saturating_add(since_1970 + Duration::from_secs(hours * 3_600 + 1))
}

const HOLD: Duration = Duration::from_secs(60);

async fn claim(store: &Store, now: Timestamp) -> Vec<ClaimedMail> {
    store.claim_mails(now, HOLD, 1_000).await.unwrap()
}

pub(crate) async fn mails_are_written_with_what_they_tell_and_taken_once(store: &Store) {
    let account = with_recipients(store).await;
    let one = alert(1, account);
    store.raise_alert(&one, Some(COMPOSE)).await.unwrap();
    store
        .raise_alert(&Alert { id: AlertId::from_uuid(Uuid::from_u128(9)), ..one.clone() }, Some(COMPOSE))
        .await
        .unwrap();
    let (first, second) = tokio::join!(claim(store, later(0)), claim(store, later(0)));
    let mut mails: Vec<_> = first.into_iter().chain(second).collect();
    mails.sort_by(|one, other| one.recipient.cmp(&other.recipient));
    let told: Vec<_> = mails.iter().map(|mail| (mail.recipient.as_str(), mail.text.subject.as_str())).collect();
    assert_eq!(told, [("a@example.com", "raised trunks/1"), ("b@example.com", "raised trunks/1")]);
    let [a, b] = mails.as_slice() else { unreachable!("two") };
    assert!(store.finish_mail(a.id, later(0), &MailEnd::Sent).await.unwrap());
    assert!(!store.finish_mail(a.id, later(0), &MailEnd::Sent).await.unwrap(), "it is sent");
    let again = MailEnd::Again(later(1), "the server is away".to_owned());
    assert!(store.finish_mail(b.id, later(0), &again).await.unwrap());
    assert_eq!(claim(store, later(0)).await, []);
    let taken = claim(store, later(1)).await;
    assert_eq!(taken.iter().map(|mail| (mail.id, mail.attempts)).collect::<Vec<_>>(), [(b.id, 1)]);
    assert_eq!(claim(store, later(1)).await, [], "it is taken");
    store.release_mail_claims().await.unwrap();
    assert_eq!(claim(store, later(1)).await.len(), 1);
    assert!(store.finish_mail(b.id, later(1), &MailEnd::Dead("no such address".to_owned())).await.unwrap());
    let backlog = store.mail_backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.dead, backlog.oldest), (0, 1, None));
    assert_eq!(store.remove_mails_before(later(2)).await.unwrap(), 2);
    store.resolve_alert(&ACT, account, one.id, None, Some(COMPOSE)).await.unwrap();
    assert_eq!(claim(store, later(2)).await.len(), 2, "who is told that it is raised is told that it is over");
}

pub(crate) async fn an_account_is_not_flooded_with_mails(store: &Store) {
    let account = with_recipients(store).await;
    for number in 1..=25 {
        store.raise_alert(&alert(number, account), Some(COMPOSE)).await.unwrap();
    }
    let mails = claim(store, later(0)).await;
    assert_eq!(mails.len(), 40, "twenty to each");
    let compose: fn(u64) -> MailText = |count| MailText { subject: format!("{count} more"), body: String::new() };
    assert_eq!(store.tell_left_out(later(0), compose).await.unwrap(), 0, "the hour is not over");
    store.raise_alert(&alert(26, account), Some(COMPOSE)).await.unwrap();
    assert_eq!(store.tell_left_out(later(1), compose).await.unwrap(), 1);
    assert_eq!(store.tell_left_out(later(1), compose).await.unwrap(), 0, "once");
    let told: Vec<_> = claim(store, later(2)).await.into_iter().map(|mail| mail.text.subject).collect();
    let more = told.iter().filter(|subject| *subject == "6 more").count();
    assert_eq!(more, 2, "{told:?}");
}
