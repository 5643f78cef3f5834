//! The addresses that host names of trunks stand for, so that calls from them are known: looked up when a trunk appears, and again
//! and again, for carriers move.

use crate::command::{Output, ResolveError, ResolveId, Resolved};
use crate::resources::Resources;
use crate::route::{RouteTable, Sources};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tandem_model::{CallDirection, Now, TrunkId};

/// Names of trunks that take calls, with what they stand for.
#[derive(Debug, Default)]
pub(crate) struct NamedHosts {
    hosts: BTreeMap<String, Named>,
    /// Names whose look-up is under way.
    asked: BTreeMap<ResolveId, String>,
}

#[derive(Debug)]
struct Named {
    /// Who calls that name, and to which port.
    trunks: Vec<(TrunkId, u16)>,
    /// What it stood for when it was last known to stand for something.
    addresses: Vec<IpAddr>,
    due: Instant,
}

impl NamedHosts {
    /// Takes the names of new routes; what is known of names that stay is kept.
    pub(crate) fn take_routes(&mut self, table: &RouteTable, resources: &mut Resources, now: Now) {
        let mut known = std::mem::take(&mut self.hosts);
        for entry in table.trunks() {
            let host = &entry.next_hop.host;
            if entry.trunk.call_direction == CallDirection::Outbound || host.ip().is_some() {
                continue;
            }
            let name = host.to_string();
            let named = self.hosts.entry(name).or_insert_with_key(|name| match known.remove(name) {
                Some(named) => Named { trunks: Vec::new(), ..named },
                None => Named { trunks: Vec::new(), addresses: Vec::new(), due: now.instant },
            });
            named.trunks.push((entry.trunk.id, entry.next_hop.port));
        }
        self.asked.retain(|_, name| self.hosts.contains_key(name));
        self.publish(resources);
        self.handle_timeout(resources, now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // With as many look-ups under way as there may be, the next answer goes on.
        if self.asked.len() >= MAX_LOOKUPS {
            return None;
        }
        self.hosts.values().map(|named| named.due).min()
    }

    /// Asks anew for names whose time has come.
    pub(crate) fn handle_timeout(&mut self, resources: &mut Resources, now: Now) {
        if self.poll_timeout().is_none_or(|due| now.instant < due) {
            return;
        }
        for (name, named) in self.hosts.iter_mut().filter(|(_, named)| named.due <= now.instant) {
            if self.asked.len() >= MAX_LOOKUPS {
                break;
            }
            let id = resources.next_resolve();
            resources.push(Output::Resolve { id, host: name.clone() });
            self.asked.insert(id, name.clone());
            named.due = now.instant + REFRESH;
        }
    }

    /// A name has been looked up, if it was asked for here. What cannot be looked up now stands for what it stood for.
    pub(crate) fn handle_resolved(&mut self, id: ResolveId, resolved: &Resolved, resources: &mut Resources, now: Now) {
        let Some(name) = self.asked.remove(&id) else { return };
        match (self.hosts.get_mut(&name), resolved) {
            (Some(named), Ok(addresses)) if !addresses.is_empty() => {
                let mut addresses: Vec<IpAddr> = addresses.iter().take(MAX_ADDRESSES).copied().collect();
                addresses.sort_unstable();
                if named.addresses != addresses {
                    named.addresses = addresses;
                    self.publish(resources);
                }
            }
            // Until it is known, its carrier is a stranger.
            (Some(named), Err(ResolveError::Unavailable)) if named.addresses.is_empty() => {
                named.due = now.instant + RETRY;
            }
            (Some(_) | None, _) => {}
        }
        self.handle_timeout(resources, now);
    }

    fn publish(&self, resources: &mut Resources) {
        let mut sources = Sources::default();
        for named in self.hosts.values() {
            for (trunk, port) in &named.trunks {
                named.addresses.iter().for_each(|address| sources.add_target(*trunk, SocketAddr::new(*address, *port)));
            }
        }
        resources.named_sources = sources;
    }
}

/// How old an address may be. Carriers announce moves days ahead and keep both addresses for a while.
const REFRESH: Duration = Duration::from_secs(60);
/// How soon DNS is asked again that did not answer for a name of which nothing is known yet.
const RETRY: Duration = Duration::from_secs(5);
/// Look-ups under way at once: a node with thousands of trunks must not flood its DNS server.
const MAX_LOOKUPS: usize = 32;
/// Addresses of one name: the largest carriers name fewer.
const MAX_ADDRESSES: usize = 64;
