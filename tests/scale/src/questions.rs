use crate::fill::MICROS_PER_HOUR;
use crate::{Filled, Random};
use tandem_model::Timestamp;

/// Something that is asked of the API again and again, each time a little differently.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// What it is called.
    pub name: &'static str,
    /// Whether it must be answered within the budget; the others are shown beside.
    pub has_budget: bool,
    ask: fn(&Filled, &mut Random) -> String,
}

impl Question {
    /// Its path, with other values each time.
    #[must_use]
    pub fn path(&self, filled: &Filled, random: &mut Random) -> String {
        (self.ask)(filled, random)
    }
}

/// What is asked.
#[must_use]
pub const fn questions() -> &'static [Question] {
    &[
        Question { name: "dashboard", has_budget: true, ask: |_, _| "/dashboard".to_owned() },
        Question {
            name: "trunk stats",
            has_budget: true,
            ask: |filled, random| format!("/trunks/{}/stats", filled.trunk(random)),
        },
        Question {
            name: "analytics by hour of a month",
            has_budget: true,
            ask: |filled, _| format!("/analytics?group_by=hour&{}", month(filled)),
        },
        Question {
            name: "calls of a trunk",
            has_budget: true,
            ask: |filled, random| format!("/calls?trunk_id={}", filled.trunk(random)),
        },
        Question {
            name: "calls to a number",
            has_budget: true,
            ask: |filled, random| format!("/calls?to=%2B{}", filled.number(random)),
        },
        Question {
            name: "calls of an hour",
            has_budget: true,
            ask: |filled, random| {
                let from = filled.moment(random);
                let to = Timestamp::from_unix_micros(from.unix_micros() + MICROS_PER_HOUR);
                format!("/calls?started_after={from}&started_before={to}")
            },
        },
        Question {
            name: "analytics by trunk",
            has_budget: false,
            ask: |filled, _| format!("/analytics?group_by=trunk&{}", month(filled)),
        },
        Question {
            name: "analytics by day and cause",
            has_budget: false,
            ask: |filled, _| format!("/analytics?group_by=day,cause&{}", month(filled)),
        },
        Question {
            name: "analytics by prefix",
            has_budget: false,
            ask: |filled, _| format!("/analytics?group_by=prefix&{}", month(filled)),
        },
        Question {
            name: "analytics by trunk and prefix",
            has_budget: false,
            ask: |filled, _| format!("/analytics?group_by=trunk,prefix&{}", month(filled)),
        },
    ]
}

fn month(filled: &Filled) -> String {
    format!("start_date={}&end_date={}", filled.from, filled.to)
}
