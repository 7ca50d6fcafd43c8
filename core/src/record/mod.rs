//! Recording a connection: what QUIC told it, what the application did, and how
//! secrets are kept out of both.
#![cfg_attr(
    not(test),
    expect(dead_code, reason = "the recorder that uses these parts joins them")
)]

pub(crate) mod content;
pub(crate) mod mask;
