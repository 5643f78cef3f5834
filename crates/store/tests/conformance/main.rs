//! What every backend must do: one suite, run whole on each. A backend joins by a [`Factory`] and a line in `suite!`.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod accounts;
mod alerts;
mod api_keys;
mod audit;
mod calls;
mod credits;
mod erasures;
mod events;
mod idempotency;
mod lists;
mod numbers;
#[path = "../postgres_server/mod.rs"]
mod postgres_server;
mod records;
mod refusals;
mod retention;
mod samples;
mod sessions;
mod traces;
mod traffic;
mod trunk_health;
mod trunk_prices;
mod trunks;
mod users;
mod webhooks;

use tandem_model::{BootId, NodeId};
use tandem_store::{DatabaseUrl, MasterKey, Store, StoreOptions};
use uuid::Uuid;

/// Makes empty stores of one backend.
trait Factory {
    /// What must live as long as the store: a folder, a database.
    type Guard;

    async fn empty_store() -> (Store, Self::Guard);
}

struct Sqlite;

impl Factory for Sqlite {
    type Guard = tempfile::TempDir;

    async fn empty_store() -> (Store, Self::Guard) {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(folder.path().join("tandem.db"));
        let store = Store::open(&url, options()).await.unwrap();
        (store, folder)
    }
}

struct Postgres;

impl Factory for Postgres {
    type Guard = postgres_server::Database;

    async fn empty_store() -> (Store, Self::Guard) {
        let database = postgres_server::Database::create().await;
        let store = Store::open(&database.url(), options()).await.unwrap();
        (store, database)
    }
}

fn options() -> StoreOptions {
    StoreOptions {
        master_key: MasterKey::from_bytes([7; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(0x51)),
        boot_id: BootId::from_uuid(Uuid::from_u128(0x52)),
    }
}

/// Runs every case on every backend, each on an empty store of its own.
macro_rules! suite {
    ([$($backend:ident: $factory:ty),+], $cases:tt) => { $( suite!(@backend $backend, $factory, $cases); )+ };
    (@backend $backend:ident, $factory:ty, [$($module:ident::$case:ident),+ $(,)?]) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $case() {
                    let (store, guard) = <$factory as super::Factory>::empty_store().await;
                    super::$module::$case(&store).await;
                    store.close().await;
                    drop(guard);
                }
            )+
        }
    };
}

suite!([sqlite: super::Sqlite, postgres: super::Postgres], [
    accounts::an_account_is_found_by_id_and_name,
    accounts::a_name_is_given_once,
    accounts::accounts_are_listed_by_name,
    accounts::a_change_touches_only_what_it_names,
    accounts::the_admin_account_is_made_once_and_left_alone,
    alerts::of_two_who_see_the_same_one_raises,
    alerts::what_a_person_resolved_is_not_raised_while_it_holds,
    alerts::alerts_are_told_as_events,
    alerts::alerts_are_listed_by_state_rule_subject_and_time,
    alerts::settings_of_alerts_are_kept,
    alerts::figures_of_alerts_are_read_from_the_statistics,
    alerts::mails_are_written_with_what_they_tell_and_taken_once,
    alerts::an_account_is_not_flooded_with_mails,
    api_keys::a_key_opens_its_account_until_it_is_revoked,
    api_keys::a_key_from_elsewhere_is_taken_once,
    api_keys::keys_that_are_no_keys_are_refused,
    api_keys::the_use_of_a_key_is_noted,
    api_keys::a_key_keeps_its_scopes_and_its_end,
    api_keys::a_key_that_nobody_has_used_takes_another_secret,
    api_keys::a_key_does_not_outlive_the_key_that_made_it,
    api_keys::a_revoked_key_takes_along_what_it_has_made,
    api_keys::keys_are_listed_and_revoked_within_the_account_only,
    audit::what_is_done_is_written_down_with_what_changed,
    audit::what_is_only_asked_about_changes_nothing_and_is_not_written_down,
    audit::writers_at_once_keep_each_log_one_chain,
    audit::acts_without_a_row_go_into_the_logs_they_belong_to,
    audit::a_log_is_read_by_actor_action_thing_and_time,
    idempotency::a_key_is_granted_once_and_then_answered,
    idempotency::a_claim_that_was_given_back_or_left_is_granted_again,
    idempotency::of_many_who_claim_a_key_at_once_one_is_granted_it,
    idempotency::old_keys_are_removed,
    retention::what_is_older_goes_in_batches_and_the_rest_stays,
    retention::a_log_loses_its_oldest_entries_and_stays_a_chain,
    retention::an_account_keeps_what_is_set_for_it,
    erasures::a_number_goes_from_everything_and_the_rest_stays,
    erasures::what_began_later_stays,
    erasures::what_is_configured_is_not_erased,
    erasures::only_so_many_go_on_at_once_and_a_trial_leaves_none,
    erasures::calls_that_are_up_are_waited_for,
    erasures::journals_are_waited_for,
    erasures::an_erasure_that_was_cut_off_goes_on_elsewhere,
    users::users_belong_to_one_account,
    users::a_user_is_found_by_address_with_the_password,
    users::a_password_that_nobody_has_seen_is_replaced_until_somebody_has,
    users::the_last_admin_stays_one,
    users::admins_who_remove_each_other_leave_one,
    sessions::a_session_shows_its_user_as_of_now,
    sessions::a_refresh_token_is_good_once,
    sessions::of_two_who_refresh_at_once_one_is_told_and_the_session_ends,
    sessions::a_guessed_refresh_token_ends_nothing,
    sessions::sessions_are_listed_and_ended_within_the_account_and_user,
    sessions::sessions_end_with_the_password_and_with_the_user,
    sessions::the_oldest_of_too_many_sessions_ends,
    sessions::a_sign_in_link_is_good_once_and_for_a_while,
    sessions::wrong_passwords_lock_a_source_for_longer_and_longer,
    sessions::a_stranger_locks_nobody_else_out,
    sessions::guesses_from_everywhere_have_a_bound_by_which_who_is_known_is_not_held,
    sessions::attempts_at_once_are_counted_one_by_one,
    sessions::what_has_expired_is_removed,
    sessions::the_newest_claim_sets_the_tier,
    sessions::admins_of_the_admin_account_may_act_for_others,
    trunks::an_address_that_calls_come_from_is_one_account_s,
    trunks::a_change_takes_no_address_of_another_account,
    trunks::shared_addresses_are_no_account_s_and_what_overlaps_from_before_can_be_changed,
    trunks::of_two_accounts_that_name_an_address_at_once_one_gets_it,
    trunks::a_trunk_comes_back_as_it_was_written,
    trunks::names_are_unique_among_trunks_that_are_there,
    trunks::the_limit_counts_trunks_that_are_there,
    trunks::the_limit_holds_against_requests_at_once,
    trunks::a_failover_is_another_trunk_of_the_account,
    trunks::trunks_are_listed_by_priority_then_age,
    trunks::an_update_keeps_health_and_age,
    trunks::an_update_of_a_missing_trunk_is_refused,
    trunks::partial_changes_at_once_both_count,
    trunks::a_refused_change_writes_nothing,
    trunks::health_touches_nothing_else,
    trunks::accounts_do_not_see_each_others_trunks,
    trunks::every_change_of_routing_counts_up,
    trunks::the_snapshot_shows_everything_of_one_moment,
    trunks::the_snapshot_reads_past_one_page,
    trunk_health::spans_come_back_newest_first_and_grow,
    trunk_health::the_share_of_time_that_a_trunk_was_up_is_of_what_is_known,
    trunk_health::old_spans_are_removed,
    trunk_health::accounts_do_not_see_each_others_history,
    calls::an_external_call_comes_back_as_it_was_written,
    calls::a_call_id_is_unique_in_the_account,
    calls::an_external_call_needs_a_trunk_of_the_account,
    calls::a_call_is_found_by_either_id,
    calls::calls_are_listed_newest_first,
    calls::lists_are_cut_at_the_page_limit,
    calls::only_one_of_many_updates_sees_the_end_appear,
    calls::an_update_writes_only_what_clients_may_change,
    calls::a_refused_update_writes_nothing,
    calls::open_external_calls_are_those_that_hold_slots,
    calls::accounts_do_not_see_each_others_calls,
    lists::a_list_goes_on_where_it_was_left,
    lists::calls_are_found_by_what_they_are,
    lists::what_is_rare_is_looked_for_part_by_part,
    lists::a_position_is_of_one_sort,
    lists::refusals_are_found_by_what_they_are,
    lists::short_lists_go_on_too,
    numbers::a_number_comes_back_as_it_was_written,
    numbers::a_number_is_of_one_account_at_a_time,
    numbers::a_number_changes_where_it_is_told_to,
    numbers::routing_sees_numbers_and_every_change_of_them,
    records::records_come_back_as_they_were_written,
    records::the_last_state_in_the_slice_wins,
    records::a_later_batch_replaces_the_state,
    records::a_state_without_a_receipt_keeps_that_of_an_earlier_one,
    records::a_batch_may_be_written_again,
    records::an_event_is_written_once,
    records::what_the_client_wrote_survives_later_states,
    records::scores_are_exact,
    records::odd_texts_and_extreme_numbers_survive,
    records::unknown_accounts_do_not_hold_up_the_rest,
    records::our_calls_take_their_call_id,
    records::a_call_of_another_account_is_not_overwritten,
    records::large_batches_are_written_whole,
    records::the_journal_position_moves_with_its_records,
    trunk_prices::a_price_is_kept_with_the_time_since_when,
    traffic::any_writes_add_up_to_what_the_rows_say,
    traffic::what_is_written_at_once_by_many_adds_up,
    traffic::the_last_day_rolls_by_the_minute,
    traffic::what_was_counted_is_not_counted_again,
    traffic::what_an_erased_number_has_added_stays,
    credits::credit_is_added_and_taken_and_written_down,
    credits::control_is_switched_on_and_off_and_the_balance_kept,
    credits::a_call_is_settled_once_however_often_it_is_written,
    credits::a_call_that_is_written_with_another_cost_is_corrected,
    credits::only_calls_that_credit_pays_for_are_settled,
    credits::external_calls_are_settled_at_what_the_client_says,
    credits::changes_at_once_all_count,
    credits::the_call_path_is_told_whose_calls_have_cost_what,
    credits::accounts_do_not_see_each_others_credit,
    credits::a_whole_batch_is_settled,
    refusals::a_refusal_comes_back_as_it_was_written,
    refusals::a_refusal_is_stored_once,
    refusals::refusals_are_listed_newest_first,
    refusals::refusals_are_cut_at_the_page_limit,
    refusals::accounts_do_not_see_each_others_refusals,
    refusals::a_refusal_of_an_unknown_account_does_not_hold_up_the_rest,
    events::states_that_come_at_once_are_told_each_in_order,
    events::a_state_is_told_once_however_often_it_is_written,
    events::events_are_written_only_while_somebody_listens,
    events::who_comes_back_too_late_is_told_of_a_gap,
    events::events_become_visible_in_the_order_of_their_numbers,
    events::calls_that_clients_log_are_told_too,
    events::a_refusal_is_told_once,
    events::only_a_change_of_health_is_told,
    events::accounts_do_not_see_each_others_events,
    events::changes_of_trunks_are_told_without_secrets,
    events::changes_of_numbers_and_of_credit_are_told,
    events::credit_that_is_used_up_is_told_once_until_some_is_added,
    webhooks::events_of_a_subject_are_claimed_one_after_the_other,
    webhooks::who_fails_is_asked_one_at_a_time_until_it_answers,
    webhooks::an_account_has_its_share_on_all_nodes,
    webhooks::only_what_is_wanted_and_new_is_sent,
    webhooks::gone_and_dead_endpoints_can_be_asked_again,
    webhooks::what_waits_for_another_attempt_need_not_wait,
    webhooks::secrets_are_sealed_and_overlap,
    webhooks::accounts_do_not_see_each_others_webhooks,
    webhooks::only_endpoints_that_take_events_count,
    webhooks::webhooks_have_bounds_and_end,
    webhooks::deliveries_are_listed_by_state_and_type_in_parts,
]);
