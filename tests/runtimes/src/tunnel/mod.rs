//! A protocol on extended CONNECT that nobody here knows, on every adapter.
//!
//! ```text
//! client                                   server
//! CONNECT, :protocol example-echo
//!   datagram "ahead" in context 7          echo, once it has answered
//!   a capsule of 100 kB                    echo
//!   a capsule of another type              passed over
//!   five datagrams, in contexts 0 to 4     echo
//!   end of content                         end of content
//! ```

pub mod events;
pub mod handles;

use aqueduct_core::capsule::CapsuleType;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::head::{Protocol, RequestHead};
use http::Method;

use crate::script::uri;

/// Capsules that come back.
pub const ECHO: CapsuleType = CapsuleType(0x2a_e000);
/// A type that is passed over.
pub const UNKNOWN: CapsuleType = CapsuleType(0x2a_e001);
/// Bytes of the first capsule.
pub const VALUE: usize = 100_000;
/// Datagrams after it.
pub const PINGS: u32 = 5;
/// What is sent before the answer.
pub const AHEAD: &[u8] = b"ahead";

const NAME: &str = "CONNECT /tunnel";

fn request() -> RequestHead {
    let mut head = RequestHead::new(Method::CONNECT, uri("/tunnel"));
    head.protocol = Some(protocol());
    head
}

/// Its name.
#[must_use]
pub fn protocol() -> Protocol {
    Protocol::new("example-echo")
}

fn ahead() -> ContextId {
    ContextId::from_u32(7)
}

/// The context of ping `number`.
fn context(number: u32) -> ContextId {
    ContextId::from_u32(number)
}
