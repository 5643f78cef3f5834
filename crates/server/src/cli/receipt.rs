//! A routing receipt as people read it.

use super::output::{Table, printable};
use serde::Deserialize;
use serde_json::Value;

/// What is shown of a receipt; a newer server may tell more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    considered: Vec<Considered>,
    attempts: Vec<Attempt>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Considered {
    trunk_name: String,
    verdict: String,
    reason: Reason,
    explanation: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attempt {
    trunk_name: Option<String>,
    request_uri: String,
    target: Option<String>,
    outcome: Option<Reason>,
    explanation: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
}

/// Every trunk with its verdict, and every attempt with its outcome.
pub(super) fn table(receipt: &Value) -> String {
    let Ok(shown) = Shown::deserialize(receipt) else {
        return printable(&receipt.to_string());
    };
    let mut text = String::new();
    if !shown.considered.is_empty() {
        let mut table = Table::new(&["TRUNK", "VERDICT", "REASON", "EXPLANATION"]);
        for considered in shown.considered {
            table.row([considered.trunk_name, considered.verdict, considered.reason.code, considered.explanation]);
        }
        text.push_str(&table.to_string());
    }
    if !shown.attempts.is_empty() {
        let mut table = Table::new(&["ATTEMPT", "REQUEST-URI", "TARGET", "OUTCOME", "EXPLANATION"]);
        for attempt in shown.attempts {
            table.row([
                attempt.trunk_name.unwrap_or_default(),
                attempt.request_uri,
                attempt.target.unwrap_or_default(),
                attempt.outcome.unwrap_or_default().code,
                attempt.explanation.unwrap_or_default(),
            ]);
        }
        text.push_str(&table.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_verdicts_and_attempts() {
        let receipt = json!({
            "considered": [{"trunk_name": "telnyx", "verdict": "skipped", "reason": {"code": "trunk_full", "limit": 3},
                "explanation": "all its 3 slots are taken"}],
            "attempts": [{"trunk_name": null, "request_uri": "sip:1@192.0.2.1", "target": null,
                "outcome": {"code": "no_response", "after_ms": 4000}, "explanation": "no answer at all in 4000 ms"}],
        });
        assert_eq!(
            table(&receipt),
            "TRUNK   VERDICT  REASON      EXPLANATION\n\
             telnyx  skipped  trunk_full  all its 3 slots are taken\n\
             ATTEMPT  REQUEST-URI      TARGET  OUTCOME      EXPLANATION\n\
             -        sip:1@192.0.2.1  -       no_response  no answer at all in 4000 ms\n"
        );
    }
}
