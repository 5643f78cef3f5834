use super::exposition::{Exposition, Kind};
use crate::Services;
use tandem_model::{AlertRule, AlertState};

/// How many alerts are open, as the last look left it: with the database away, those too that it could not take.
pub(super) fn expose(services: &Services, exposition: &mut Exposition) {
    let open = services.alerts.open();
    let help = "Alerts that are raised or acknowledged, over all accounts.";
    let mut family = exposition.family("tandem_alerts", Kind::Gauge, help);
    for rule in AlertRule::ALL {
        for state in [AlertState::Raised, AlertState::Acknowledged] {
            let count = open.get(&(*rule, state)).copied().unwrap_or(0);
            family.sample(&[("rule", rule.as_str()), ("state", state.as_str())], count);
        }
    }
}
