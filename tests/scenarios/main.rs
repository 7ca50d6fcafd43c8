//! One behaviour per file, over a transport without QUIC. Row numbers refer to
//! the list of capabilities. On unpleasant networks a failure names its seed:
//! `SEED=n` repeats it.

mod arbitrary_bytes;
mod capsules;
mod close_codes;
mod connect;
mod content_length;
mod critical_streams;
mod determinism;
mod event_order;
mod extensions;
mod field_section_limits;
mod frames;
mod goaway;
mod http_datagrams;
mod interim_and_trailers;
mod malformed_messages;
mod nuisance;
mod priority;
mod qpack;
mod random_operations;
mod settings;
mod split_stream_types;
mod timeouts;
mod transfers;
mod unknown_things;
mod wt_close;
mod wt_codes;
mod wt_datagrams;
mod wt_death;
mod wt_dialects;
mod wt_drain;
mod wt_early;
mod wt_errors;
mod wt_flow;
mod wt_gone;
mod wt_requests;
mod wt_routing;
mod wt_streams;
