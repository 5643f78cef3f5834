//! How much depends on a connection, so that the end of one that nothing does costs no walk: peers open and close them as
//! they like.

use std::collections::HashMap;

use crate::endpoint::Flow;

/// Counts by flow, of reliable transports alone.
#[derive(Default)]
pub(crate) struct FlowCounts {
    counts: HashMap<Flow, usize>,
}

impl FlowCounts {
    pub(crate) fn add(&mut self, flow: &Flow) {
        if flow.transport.is_reliable() {
            *self.counts.entry(*flow).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, flow: &Flow) {
        if let Some(count) = self.counts.get_mut(flow) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(flow);
            }
        }
    }

    pub(crate) fn contains(&self, flow: &Flow) -> bool {
        self.counts.contains_key(flow)
    }
}
