use std::sync::Arc;
use tandem_model::{CallRecord, LegRecord};
use tandem_sip::dialog::DialogRecord;
use tandem_sip::endpoint::Flow;

/// What is needed to end a leg from another process, should this one die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Our INVITE as it went out last, while it has no final answer: it can be canceled.
    Invite {
        /// The way it went.
        flow: Flow,
        /// The whole message.
        octets: Arc<[u8]>,
    },
    /// An INVITE to us that has no final answer yet: its caller is told that there is no call.
    WaitingCaller {
        /// The way it came.
        flow: Flow,
        /// The whole message.
        octets: Arc<[u8]>,
        /// Our tag in what it was answered so far.
        to_tag: String,
    },
    /// Such an INVITE after our 2xx, which nobody has acknowledged yet: its caller may have had it or not, and is told both ways.
    AnsweredCaller {
        /// The way it came.
        flow: Flow,
        /// The whole message.
        octets: Arc<[u8]>,
        /// The dialog that our answer made.
        dialog: Box<DialogRecord>,
    },
    /// The dialog that its answer made: it can be hung up.
    Dialog(Box<DialogRecord>),
}

/// A call of an earlier process that was not over when that process died, as its journal tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenCall {
    /// Its last state.
    pub record: CallRecord,
    /// The last states of its legs, in order, with what was kept for each; nothing is kept for a leg that is over, or whose
    /// INVITE was not sent yet.
    pub legs: Vec<(LegRecord, Option<Kept>)>,
    /// The number of its last event that is recorded; 0 without any.
    pub events: u32,
}
