use crate::harness::{ACT, Api};
use axum::http::Method;
use serde_json::{Value, json};
use tandem_model::{AccountLoad, HealthStatus, TrunkLoad};

impl Api {
    /// A node whose database answers, with an account of the operator and one trunk that carries so many of ten calls.
    async fn with_trunk(active: u32) -> (Self, String) {
        let api = Self::start().await;
        api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
        let trunk = api.trunk(json!({})).await;
        api.answers(true);
        api.carries(&trunk, active, 0);
        (api, trunk)
    }

    fn answers(&self, answers: bool) {
        self.switchboard.script(|script| script.readiness.database.answers = answers);
    }

    fn carries(&self, trunk: &str, active: u32, failed_probes: u32) {
        let load = TrunkLoad {
            id: trunk.parse().unwrap(),
            account_id: self.mine.account.id,
            name: "main".to_owned(),
            active,
            max: 10,
            health: HealthStatus::Healthy,
            takes_calls: true,
            failed_probes: Some(failed_probes),
        };
        self.switchboard.script(|script| script.traffic.1 = vec![load]);
    }

    /// Looks so often, ten seconds apart.
    async fn look(&self, times: u32) {
        for _ in 0..times {
            self.services.look_for_alerts().await.unwrap();
            self.clock.advance(10);
        }
    }

    async fn alerts(&self, query: &str) -> Vec<Value> {
        self.get(&format!("/alerts{query}")).await.expect(200).as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_full_trunk_raises_an_alert_that_ends_when_there_is_room() {
    let (api, trunk) = Api::with_trunk(9).await;
    api.look(1).await;
    assert_eq!(api.alerts("").await, Vec::<Value>::new(), "a moment is none");
    api.look(5).await;
    let alerts = api.alerts("").await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((&alert["rule"], &alert["state"]), (&json!("trunk_utilisation"), &json!("raised")));
    assert_eq!(alert["subject"], format!("trunks/{trunk}"));
    assert_eq!(alert["measured"], json!({"active_calls": 9, "max_calls": 10, "percent": 90.0}));
    assert_eq!((&alert["threshold"], &alert["raised_at"]), (&json!(80), &json!("2026-01-31T12:00:00.000000Z")));
    assert!(alert["what_to_do"].as_str().unwrap().contains("max_concurrent_calls"));
    let id = alert["id"].as_str().unwrap();
    let noted = json!({"note": "more lines are ordered"});
    let taken = api.post(&format!("/alerts/{id}/acknowledge"), noted).await.expect(200);
    assert_eq!((&taken["state"], &taken["acknowledged_by"]), (&json!("acknowledged"), &json!("test")));
    api.carries(&trunk, 8, 0);
    api.look(10).await;
    assert_eq!(api.alerts("?state=acknowledged").await.len(), 1, "near the threshold it is not over");
    api.carries(&trunk, 6, 0);
    api.look(4).await;
    let over = api.get(&format!("/alerts/{id}")).await.expect(200);
    assert_eq!(
        (&over["state"], &over["resolved_by"], &over["note"]),
        (&json!("resolved"), &json!("rule"), &json!("more lines are ordered"))
    );
    api.post(&format!("/alerts/{id}/resolve"), json!({})).await.expect_problem(409, "alert_over");
    api.carries(&trunk, 10, 0);
    api.look(2).await;
    assert_eq!(api.alerts("?state=raised").await.len(), 1);
}

#[tokio::test]
async fn what_a_person_resolved_is_not_raised_again_until_it_was_away() {
    let (api, trunk) = Api::with_trunk(1).await;
    api.carries(&trunk, 1, 3);
    api.look(1).await;
    let id = api.alerts("?rule=probes_failing&severity=critical").await[0]["id"].as_str().unwrap().to_owned();
    api.send(Method::POST, &format!("/alerts/{id}/resolve"), None, Some(&api.mine.key)).await.expect(200);
    api.look(20).await;
    assert_eq!(api.alerts("").await.len(), 1);
    api.carries(&trunk, 1, 0);
    api.look(5).await;
    api.carries(&trunk, 1, 5);
    api.look(1).await;
    assert_eq!(api.alerts("").await.len(), 2);
    let log = api.get("/audit-log?action=alert.resolve").await.expect(200);
    assert_eq!(log[0]["after"], json!({"state": "resolved"}), "{log:#}");
}

#[tokio::test]
async fn a_call_path_that_is_silent_changes_nothing_and_a_trunk_that_is_gone_has_no_alert() {
    let (api, _) = Api::with_trunk(10).await;
    api.look(2).await;
    assert_eq!(api.alerts("?state=raised").await.len(), 1);
    api.switchboard.script(|script| script.silent = true);
    api.look(20).await;
    assert_eq!(api.alerts("?state=raised").await.len(), 1);
    api.switchboard.script(|script| {
        script.silent = false;
        script.traffic.1.clear();
    });
    api.look(1).await;
    assert_eq!(api.alerts("?state=raised").await.len(), 0);
}

#[tokio::test]
async fn an_account_says_what_it_is_told_of() {
    let (api, trunk) = Api::with_trunk(9).await;
    let shown = api.get("/alert-settings").await.expect(200);
    assert_eq!(shown["trunk_utilisation"], json!({"enabled": true, "threshold_percent": 80}));
    assert_eq!(shown["cost_spike"], json!({"enabled": true, "threshold_factor": 3, "minimum_amount": 10}));
    let change = json!({"trunk_utilisation": {"threshold_percent": 95}});
    let changed = api.send(Method::PUT, "/alert-settings", Some(change), Some(&api.mine.key)).await.expect(200);
    assert_eq!(changed["trunk_utilisation"], json!({"enabled": true, "threshold_percent": 95}));
    api.look(5).await;
    assert_eq!(api.alerts("").await.len(), 0);
    api.carries(&trunk, 10, 0);
    let load = AccountLoad { id: api.mine.account.id, active: 50, max: 50 };
    api.switchboard.script(|script| script.account_loads = vec![load]);
    api.look(2).await;
    assert_eq!(api.alerts("?state=raised").await.len(), 2);
    let off = json!({"trunk_utilisation": {"enabled": false}});
    api.send(Method::PUT, "/alert-settings", Some(off), Some(&api.mine.key)).await.expect(200);
    api.look(1).await;
    let left = api.alerts("?state=raised").await;
    assert_eq!((left.len(), &left[0]["rule"]), (1, &json!("account_utilisation")));
    let wrong = json!({"success_rate": {"threshold_percent": 0}});
    let reply = api.send(Method::PUT, "/alert-settings", Some(wrong), Some(&api.mine.key)).await;
    reply.expect_wrong_field("success_rate.threshold_percent");
}

#[tokio::test]
async fn a_database_that_was_away_is_told_once_it_is_back() {
    let (api, _) = Api::with_trunk(0).await;
    api.look(1).await;
    let operator = api.store.operators_account().await.unwrap().unwrap();
    let (_, key) = api.store.create_api_key(&ACT, operator, "operator").await.unwrap();
    let alerts = async || {
        let alerts = api.send(Method::GET, "/alerts", None, Some(key.expose())).await.expect(200);
        alerts.as_array().unwrap().clone()
    };
    let shown = async || {
        let text = api.send(Method::GET, "//metrics", None, Some(key.expose())).await.expect(200);
        let sample = "tandem_alerts{rule=\"database_away\",state=\"raised\"} 1";
        text.as_str().unwrap().contains(sample)
    };
    api.answers(false);
    api.look(2).await;
    assert!(!shown().await, "ten seconds are none");
    api.look(3).await;
    assert!(shown().await, "the metrics tell it at once");
    assert_eq!(alerts().await, Vec::<Value>::new());
    api.answers(true);
    api.look(1).await;
    let told = alerts().await;
    let [alert] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&alert["rule"], &alert["raised_at"]), (&json!("database_away"), &json!("2026-01-31T12:00:10.000000Z")));
    api.look(4).await;
    assert_eq!(alerts().await[0]["state"], "resolved");
    assert!(!shown().await);
    assert_eq!(api.alerts("").await, Vec::<Value>::new(), "it is the operator's alone");
}
