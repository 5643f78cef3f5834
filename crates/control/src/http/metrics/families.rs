use super::exposition::{Exposition, Kind};
use crate::Readiness;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_model::{CallDirection, CallStatus, HealthStatus, LegTraffic, Traffic, TrunkLoad, TrunkPlace, TrunkTraffic};

/// The numbers of the node at this moment. Those of the call path are left out while it does not answer: a zero would be a lie.
pub(super) fn of_node(readiness: &Readiness, call_path_up: bool, exposition: &mut Exposition) {
    let Readiness { ready, draining, journal, database, live, .. } = readiness;
    let mut gauge = |name, help, value| exposition.gauge(name, help, value);
    gauge("tandem_ready", "1 while new calls are taken.", u64::from(*ready));
    gauge("tandem_draining", "1 while the node is stopping: calls that are up go on.", u64::from(*draining));
    gauge(
        "tandem_call_path_up",
        "1 when the thread that carries calls answered this request.",
        u64::from(call_path_up),
    );
    gauge("tandem_database_up", "1 while the database answers.", database.answers.into());
    gauge(
        "tandem_database_takes_records",
        "1 when the database took what it was last given.",
        database.takes_records.into(),
    );
    gauge(
        "tandem_journal_writable",
        "1 while the disk of the journal takes what calls write.",
        journal.writable.into(),
    );
    gauge(
        "tandem_journal_entries_unwritten",
        "Entries that the disk of the journal did not take yet.",
        journal.entries_unwritten,
    );
    gauge(
        "tandem_records_unstored",
        "Records in the journal that the database does not have yet.",
        live.records_unstored,
    );

    let free = journal.free_bytes;
    exposition.gauge_if_known("tandem_journal_free_bytes", "Free space on the disk of the journal.", free);
    let backlog = journal.backlog_bytes;
    exposition.gauge_if_known(
        "tandem_journal_backlog_bytes",
        "Bytes of the journal that the database does not have yet.",
        backlog,
    );
    let lag = Duration::from_millis(journal.oldest_unstored_age_ms.unwrap_or(0));
    let help = "Age of the oldest record that the database does not have yet; 0 when it has all.";
    exposition.family("tandem_journal_lag_seconds", Kind::Gauge, help).seconds(&[], lag);
    let help = "Refused calls that are not on record, because the disk took nothing for long.";
    exposition.family("tandem_journal_refusals_lost_total", Kind::Counter, help).sample(&[], journal.refusals_lost);

    let help = "Messages that wait in a queue between threads.";
    let mut queues = exposition.family("tandem_queue_depth", Kind::Gauge, help);
    for (queue, depth) in [("commands", live.queues.commands), ("media_commands", live.queues.media_commands)] {
        queues.sample(&[("queue", queue)], depth);
    }

    let if_up = |value| call_path_up.then_some(value);
    let numbers = [
        ("tandem_calls_active", "Calls, with those whose last legs are being ended.", live.calls),
        ("tandem_calls_max", "Calls between two parties that the media ports allow at once.", live.max_calls),
        ("tandem_external_calls_active", "Calls that something else carries and that hold slots.", live.external_calls),
        ("tandem_calls_unstored", "Calls that are over and that the database does not have yet.", live.unstored_calls),
        ("tandem_legs_active", "Legs that have a dialog or an INVITE under way.", live.legs),
        ("tandem_sip_sessions", "SIP sessions: every INVITE until nothing can follow from it.", live.sessions),
        ("tandem_sip_dialogs", "SIP sessions that have an established dialog.", live.dialogs),
        ("tandem_media_ports_in_use", "RTP and RTCP port pairs in use.", live.media_ports_in_use),
        ("tandem_media_ports", "RTP and RTCP port pairs in all.", live.media_ports_total),
    ];
    for (name, help, value) in numbers {
        exposition.gauge_if_known(name, help, if_up(value));
    }
    let mut transactions = exposition.family("tandem_sip_transactions", Kind::Gauge, "SIP transactions.");
    for (role, count) in [("client", live.client_transactions), ("server", live.server_transactions)] {
        if call_path_up {
            transactions.sample(&[("role", role)], count);
        }
    }
}

/// What was counted since the process began, and what trunks carry. Without it every metric is named and none has a sample.
pub(super) fn of_traffic(counted: Option<&(Traffic, Vec<TrunkLoad>)>, exposition: &mut Exposition) {
    let nothing = (Traffic::default(), Vec::new());
    let is_known = counted.is_some();
    let (traffic, loads) = counted.unwrap_or(&nothing);
    of_calls(traffic, is_known, exposition);
    of_loads(traffic, loads, exposition);

    let places: Vec<(String, &TrunkTraffic)> =
        traffic.places().filter(|_| is_known).map(|(place, traffic)| (label(place), traffic)).collect();
    of_legs(&places, exposition);
    of_media(&places, exposition);
}

fn of_calls(traffic: &Traffic, is_known: bool, exposition: &mut Exposition) {
    let help = "Calls that are over, by who began them and their final status.";
    let mut calls = exposition.family("tandem_calls_total", Kind::Counter, help);
    // Each from the beginning, so that the first call is seen as a rise.
    for direction in [CallDirection::Inbound, CallDirection::Outbound].into_iter().filter(|_| is_known) {
        for status in CallStatus::ALL.iter().filter(|status| status.is_final()) {
            let count = traffic.calls.get(&(direction, *status)).copied().unwrap_or(0);
            calls.sample(&[("direction", direction.as_str()), ("status", status.as_str())], count);
        }
    }
    let help = "INVITEs that were refused before a call began, by who sent them and what they were answered.";
    let mut refused = exposition.family("tandem_refused_invites_total", Kind::Counter, help);
    for (peer, count) in &traffic.refused_invites {
        let from = if peer.is_stranger { "stranger" } else { "trunk" };
        refused.sample(&[("from", from), ("sip_status", &peer.sip_status.to_string())], *count);
    }
    let help = "Orders of the API that no call came of, by the code of the refusal.";
    let mut refused = exposition.family("tandem_refused_orders_total", Kind::Counter, help);
    for (code, count) in &traffic.refused_orders {
        refused.sample(&[("code", code)], *count);
    }
}

fn of_loads(traffic: &Traffic, loads: &[TrunkLoad], exposition: &mut Exposition) {
    let is_shown = |load: &&TrunkLoad| traffic.place(Some(load.id)) == TrunkPlace::Trunk(load.id);
    let help = "Always 1: the name of a trunk and the account that it belongs to.";
    let mut info = exposition.family("tandem_trunk_info", Kind::Gauge, help);
    for load in loads.iter().filter(is_shown) {
        let (id, account) = (load.id.to_string(), load.account_id.to_string());
        info.sample(&[("trunk", &id), ("name", &load.name), ("account", &account)], 1);
    }
    let help = "1 at the status that the health of a trunk has, 0 at the others.";
    let mut health = exposition.family("tandem_trunk_health", Kind::Gauge, help);
    for load in loads.iter().filter(is_shown) {
        for status in HealthStatus::ALL {
            let labels = [("trunk", load.id.to_string()), ("status", status.to_string())];
            health.sample(
                &labels.each_ref().map(|(name, value)| (*name, value.as_str())),
                (load.health == *status).into(),
            );
        }
    }
    let help = "1 when calls can go out over a trunk: as it is configured, by its health and by its circuit.";
    let mut takes = exposition.family("tandem_trunk_takes_calls", Kind::Gauge, help);
    for load in loads.iter().filter(is_shown) {
        takes.sample(&[("trunk", &load.id.to_string())], load.takes_calls.into());
    }
    // Those beyond the limit share a place, like what was counted of them.
    let mut sums: BTreeMap<TrunkPlace, [u64; 2]> = BTreeMap::new();
    for load in loads {
        let [active, max] = sums.entry(traffic.place(Some(load.id))).or_default();
        *active += u64::from(load.active);
        *max += u64::from(load.max);
    }
    let help = "Calls that a trunk carries, with those that something else carries.";
    let mut active = exposition.family("tandem_trunk_calls_active", Kind::Gauge, help);
    for (place, [sum, _]) in &sums {
        active.sample(&[("trunk", &label(*place))], *sum);
    }
    let help = "Calls that a trunk may carry at once.";
    let mut max = exposition.family("tandem_trunk_calls_max", Kind::Gauge, help);
    for (place, [_, sum]) in &sums {
        max.sample(&[("trunk", &label(*place))], *sum);
    }
}

fn of_legs(places: &[(String, &TrunkTraffic)], exposition: &mut Exposition) {
    let directed = || {
        places.iter().flat_map(|(trunk, traffic)| {
            let legs: [(CallDirection, &LegTraffic); 2] =
                [(CallDirection::Inbound, &traffic.inbound), (CallDirection::Outbound, &traffic.outbound)];
            legs.map(|(direction, leg)| ([("trunk", trunk.as_str()), ("direction", direction.as_str())], leg))
        })
    };
    let help = "Legs that were answered, or ended without, by trunk, direction and `answered` or the cause.";
    let mut attempts = exposition.family("tandem_attempts_total", Kind::Counter, help);
    for ([trunk, direction], leg) in directed() {
        attempts.sample(&[trunk, direction, ("outcome", "answered")], leg.answered);
        for (cause, count) in &leg.unanswered {
            attempts.sample(&[trunk, direction, ("outcome", cause.as_str())], *count);
        }
    }
    let help = "Time that answered legs were up, counted when they end.";
    let mut connected = exposition.family("tandem_connected_seconds_total", Kind::Counter, help);
    for (labels, leg) in directed() {
        connected.seconds(&labels, Duration::from_micros(leg.connected_us));
    }
    let help = "Time from an INVITE of ours to the first 18x, or to the answer where none came before.";
    let mut delay = exposition.family("tandem_setup_delay_seconds", Kind::Histogram, help);
    for (trunk, traffic) in places {
        delay.histogram(&[("trunk", trunk)], &traffic.setup_delay);
    }
    let help = "Time from a caller's INVITE to our 200, the ringing of whoever is called for them included.";
    let mut delay = exposition.family("tandem_answer_delay_seconds", Kind::Histogram, help);
    for (trunk, traffic) in places {
        delay.histogram(&[("trunk", trunk)], &traffic.answer_delay);
    }
}

fn of_media(places: &[(String, &TrunkTraffic)], exposition: &mut Exposition) {
    let help = "RTP packets from the far ends of legs that are over.";
    let mut received = exposition.family("tandem_rtp_packets_received_total", Kind::Counter, help);
    for (trunk, traffic) in places {
        received.sample(&[("trunk", trunk)], traffic.media.packets_received);
    }
    let help = "RTP packets to the far ends of legs that are over.";
    let mut sent = exposition.family("tandem_rtp_packets_sent_total", Kind::Counter, help);
    for (trunk, traffic) in places {
        sent.sample(&[("trunk", trunk)], traffic.media.packets_sent);
    }
    let help = "RTP packets from the far ends of legs that are over that never came.";
    let mut lost = exposition.family("tandem_rtp_packets_lost_total", Kind::Counter, help);
    for (trunk, traffic) in places {
        lost.sample(&[("trunk", trunk)], traffic.media.packets_lost);
    }
    let help = "Interarrival jitter of what the far end sent, one value a leg: that at its end.";
    let mut jitter = exposition.family("tandem_rtp_jitter_seconds", Kind::Histogram, help);
    for (trunk, traffic) in places {
        jitter.histogram(&[("trunk", trunk)], &traffic.media.jitter);
    }
}

fn label(place: TrunkPlace) -> String {
    match place {
        TrunkPlace::Trunk(id) => id.to_string(),
        TrunkPlace::Others => "other".to_owned(),
        TrunkPlace::Direct => "none".to_owned(),
    }
}
