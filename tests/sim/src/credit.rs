//! The credit of the first account, in every third world. In the others its calls are not paid for by credit.

use tandem_lab::setup::{Seeded, account_id, start_utc};
use tandem_model::{CreditTerms, LiveCredit, Money};
use tandem_switch::Command;

use crate::actions::Asked;
use crate::node::Input;
use crate::world::World;

pub(crate) struct Credit {
    /// In millionths of the currency unit.
    granted: Option<i64>,
    told: u64,
}

impl Credit {
    /// With a source of its own, so that the rest of a world is as it is without.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Seeded(seed ^ 0x00c4_ed17);
        let granted = (seed % 3 == 1).then(|| i64::try_from(80_000 + random.below(150_000)).unwrap());
        Self { granted, told: 0 }
    }
}

impl World {
    /// The process learns what there is. The database may be late with what calls have cost, but not for a process that begins: what
    /// earlier ones wrote is stored by then.
    pub(crate) fn tell_credit(&mut self, begins: bool) {
        let Some(granted) = self.credit.granted else { return };
        self.credit.told += 1;
        let is_late = !begins && self.credit.told.is_multiple_of(2);
        let terms = CreditTerms {
            account_id: account_id(1),
            since: start_utc(),
            granted: Money::from_micros(granted),
            committed_elsewhere: Money::ZERO,
            settled_here: Money::from_micros(if is_late { 0 } else { self.settled() }),
        };
        self.inputs.push(Input::Command(Command::CreditTerms(vec![terms])));
    }

    /// Once all calls are over.
    pub(crate) fn ask_for_credit(&mut self) {
        if self.credit.granted.is_some() {
            let account_id = account_id(1);
            self.ask(Asked::Credit, |reply| Command::Credit { account_id, reply });
        }
    }

    pub(crate) fn check_credit(&mut self, live: Option<LiveCredit>) {
        let (Some(granted), settled) = (self.credit.granted, self.settled()) else { return };
        let expected = LiveCredit { reserved: Money::ZERO, available: Money::from_micros(granted - settled) };
        if live != Some(expected) {
            self.fault(format!("the credit that is left is {live:?}, of {granted} after calls that cost {settled}"));
        }
        // A call of a process that has died is billed by the next one, for which its trunk may have become dearer.
        if settled > granted && self.deaths.is_empty() {
            self.fault(format!("calls cost {settled}, more than the {granted} that were granted"));
        }
    }

    /// What the calls have cost that are over, as they are on record.
    fn settled(&self) -> i64 {
        let calls = self.node.journal.calls().map(|(_, call)| &call.record);
        let closed = calls.filter(|record| record.account_id == account_id(1) && record.status.is_final());
        closed.filter_map(|record| record.cost).map(Money::micros).sum()
    }
}
