//! The rules of [`store`](crate::store) as tests that any store can be put to. Not a stable part of the API:
//! a new rule is a new case.
//!
//! Each case takes an empty store that [`fresh`](Fixture::new) has not been used by another. [`store_tests!`](crate::store_tests)
//! names each case as a test:
//!
//! ```
//! # mod my_store_tests {
//! privet::store_tests!(|| async { (privet::store::MemoryStore::new(), ()) });
//! # }
//! ```
//!
//! A store that needs a runtime of its own passes a function that runs a future as the second argument.

mod consent;
mod contacts;
mod conversations;
mod counts;
mod faulty;
mod fixture;
mod lease;
mod outbox;
mod portal;
mod retention;
mod together;
mod unlinking;

pub use consent::*;
pub use contacts::*;
pub use conversations::*;
pub use counts::*;
pub use faulty::FaultyStore;
pub use fixture::Fixture;
pub use lease::*;
pub use outbox::*;
pub use portal::*;
pub use retention::*;
pub use together::*;
pub use unlinking::*;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

/// Runs a future on this thread, for stores that need no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => park(),
        }
    }
}

/// Names each case of the conformance suite as a test of a store. Takes a closure that gives an empty
/// store, and something that is kept as long as the store is used, such as its folder.
#[macro_export]
macro_rules! store_tests {
    ($make:expr) => {
        $crate::store_tests!($make, $crate::conformance::block_on);
    };
    ($make:expr, $run:expr) => {
        $crate::store_tests!(@cases $make, $run;
            another_key_is_refused
            notices_are_kept_byte_by_byte_and_never_changed
            statements_are_numbered_and_never_changed
            statements_published_at_once_are_one
            records_form_lines
            a_withdrawal_that_changes_nothing_is_not_written_again
            a_record_is_appended_once
            a_withdrawal_that_is_repeated_names_what_is_still_marked
            withdrawals_give_nothing
            a_purge_wakes_no_withdrawn_grant
            records_are_chained
            a_line_is_a_history
            a_line_is_found_by_its_digest
            proofs_are_checked_against_the_latest_record
            a_withdrawal_marks_the_contacts_of_its_line_only
            contacts_open_on_a_proof_only
            contacts_open_once
            a_line_has_one_contact
            a_contact_goes_with_the_line_it_speaks_on
            a_contact_stands_on_the_latest_of_its_line
            last_seen_never_moves_back
            touches_reach_only_who_is_there
            pages_are_complete_and_in_order
            contacts_on_another_consent_are_frozen
            contacts_may_be_kept_on_another_basis
            erased_contacts_stay_erased
            erasure_goes_in_bounded_steps
            messages_are_numbered_and_stored_once
            the_counter_changes_with_conversations_only
            one_conversation_runs_at_a_time
            a_late_message_does_not_bring_a_conversation_back
            conversations_belong_to_their_owner
            a_visit_needs_no_consent_and_leaves_no_contact
            conversations_are_adopted_on_a_proof_only
            conversations_go_from_contact_to_contact
            closed_conversations_do_not_run
            nothing_crosses_tenants_or_sites
            what_has_expired_is_not_read
            purges_are_bounded_and_complete
            rules_are_the_tenants_own
            fences_end
            erasures_share_a_step
            what_was_erased_alone_goes_with_its_contact
            notifications_come_with_what_is_taken_away
            notifications_are_sent_by_one_at_a_time
            notifications_are_sent_in_turn
            notifications_end_when_they_are_settled
            counts_add_up
            counts_are_added_once
            counts_end
            an_erasure_on_request_cuts_the_line
            a_cut_goes_in_bounded_steps
            a_withdrawal_cuts_nothing
            pages_go_both_ways_under_every_filter
            contents_are_what_an_erasure_takes
            answers_reach_open_conversations_only
            a_blocked_contact_writes_nothing
            notes_go_with_their_contact
            a_contact_is_known_on_two_proofs
            a_message_is_taken_alone
            figures_count_what_is_shown
            a_snapshot_is_of_one_moment
            the_log_is_the_tenants_own
            a_lease_has_one_holder
            a_lease_is_taken_over_when_it_lapses
            what_is_done_under_a_lease_is_done_while_it_is_held
            nothing_crosses_at_random
            many_at_once_each_get_their_own_answer
            units_at_once_are_one_after_the_other
        );
    };
    (@cases $make:expr, $run:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                ($run)(async {
                    let (store, _guard) = ($make)().await;
                    $crate::conformance::$case(&store).await;
                });
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    crate::store_tests!(|| async { (crate::store::MemoryStore::new(), ()) });
}
