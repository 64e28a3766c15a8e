//! What is counted of a nameserver (management manual, `show resolvers`).

use std::cell::Cell;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Counters of one nameserver.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Cell<u64>,)* }

        /// Names of the counters, in the order of [`Counters::values`].
        pub const COUNTERS: &[&str] = &[$($label),*];

        impl Counters {
            /// Every counter, in the order of [`COUNTERS`].
            pub fn values(&self) -> Vec<u64> {
                vec![$(self.$name.get()),*]
            }
        }
    };
}

counters! {
    sent = "sent";
    /// Queries that could not be sent.
    send_error = "send_error";
    /// Replies with an answer.
    valid = "valid";
    /// Replies that changed an address.
    update = "update";
    /// Replies whose only records are aliases.
    cname = "cname";
    /// Aliases that lead nowhere.
    cname_error = "cname_error";
    /// Replies without a record.
    any_err = "any_err";
    nx = "nx";
    timeout = "timeout";
    refused = "refused";
    /// Any other error.
    other = "other";
    /// What is no DNS reply.
    invalid = "invalid";
    /// Replies larger than `accepted_payload_size`.
    too_big = "too_big";
    truncated = "truncated";
    /// Replies that came after another nameserver's.
    outdated = "outdated";
}

pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
