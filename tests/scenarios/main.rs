//! One behaviour per file, over a transport without QUIC. Row numbers refer to
//! the list of capabilities. On unpleasant networks a failure names its seed:
//! `SEED=n` repeats it.

mod arbitrary_bytes;
mod capsules;
mod claimed_streams;
mod close_codes;
mod connect;
mod content_length;
mod critical_streams;
mod determinism;
mod drained;
mod early_data;
mod ends_of_halves;
mod event_order;
mod extensions;
mod field_section_limits;
mod forwarding;
mod frames;
mod goaway;
mod honest;
mod http_datagrams;
mod interim_and_trailers;
mod malformed_messages;
mod masque_answers;
mod masque_lives;
mod masque_requests;
mod masque_starts;
mod masque_tcp;
mod masque_udp;
mod misuse;
mod nuisance;
mod open_requests;
mod priority;
mod qpack;
mod random_operations;
mod record;
mod record_counts;
mod record_damaged;
mod record_leaks;
mod record_odd;
mod record_secrets;
mod record_words;
mod refusals;
mod settings;
mod shared_limits;
mod split_stream_types;
mod timeouts;
mod transfers;
mod turns;
mod unknown_things;
mod violations;
mod waits;
mod wt_clients;
mod wt_close;
mod wt_codes;
mod wt_datagrams;
mod wt_death;
mod wt_dialects;
mod wt_drain;
mod wt_early;
mod wt_errors;
mod wt_flow;
mod wt_flow_errors;
mod wt_flow_limits;
mod wt_flow_lost;
mod wt_flow_off;
mod wt_flow_transfer;
mod wt_gone;
mod wt_many;
mod wt_model;
mod wt_order;
mod wt_origin;
mod wt_protocols;
mod wt_requests;
mod wt_requirements;
mod wt_routing;
mod wt_sets;
mod wt_stopped;
mod wt_stream_gone;
mod wt_streams;

/// Before the first test: all of them are replayed when they end.
#[ctor::ctor(unsafe)]
fn replay_all() {
    aqueduct_tests::replayed::replay_all();
}
