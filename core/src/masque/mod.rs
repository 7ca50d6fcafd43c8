//! MASQUE: tunnels for UDP (RFC 9298) and TCP (draft-ietf-httpbis-connect-tcp, and CONNECT
//! as it always was) through an HTTP/3 proxy.
//!
//! A tunnel is a request like any other, with datagrams and capsules. So what is here
//! stands on a connection as an application does, and connection, recording and replay
//! know nothing of it. Resolving names and opening sockets is up to who has them.
//!
//! ```text
//!  Event ──▶ Tunnels ──▶ TunnelEvent      one connection's tunnels, for event loops
//!               │
//!        Gate, codecs, heads              what these and the handles stand on
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `kind`, `dialect` | [`TunnelKind`], [`Dialect`]: what a tunnel carries, and in which words |
//! | `target` | [`Target`], [`Host`]: where a tunnel leads |
//! | `template` | [`Template`] of a client, [`PathTemplate`] of a proxy: targets in URIs |
//! | `policy`, `special` | [`TargetPolicy`], [`Rule`], [`SpecialRange`]: where tunnels may lead |
//! | `refusal`, `status` | [`Refusal`]: every reason for no tunnel, with its status and Proxy-Status |
//! | `gate` | [`Gate`]: who is let in, and how many are |
//! | `head` | [`OpenTunnel`] and the answers to it |
//! | `codec` | UDP payloads and bytes of TCP in datagrams and capsules |
//! | `tunnels`, `lives`, `tunnel`, `payloads`, `event` | [`Tunnels`]: the tunnels of one connection |

mod codec;
mod dialect;
mod event;
mod gate;
mod head;
mod kind;
mod lives;
mod payloads;
mod policy;
mod refusal;
mod special;
mod status;
mod target;
mod template;
mod tunnel;
mod tunnels;

pub use codec::{
    MAX_UDP_PAYLOAD, Payload, TcpDecoder, TcpEncoder, TcpPart, TunnelFault, UdpDecoder, UdpPart,
    decode_datagram, encode_capsule,
};
pub use dialect::Dialect;
pub use event::{
    AnswerTunnelError, Cancelled, Drops, OpenTunnelError, TunnelClose, TunnelEvent, TunnelIoError,
    TunnelKey, TunnelSendError, TunnelStats,
};
pub use gate::{Credentials, Gate, GateConfig, GateStats, Judged, TunnelRequest};
pub use head::{AnswerFault, OpenTunnel, PROXY_STATUS, is_opened, opening, speaks_capsules};
pub use kind::TunnelKind;
pub use payloads::TunnelRead;
pub use policy::{Denied, Rule, RuleError, TargetPolicy};
pub use refusal::Refusal;
pub use special::SpecialRange;
pub use status::{proxy_error, refusal_in_words};
pub use target::{Host, Target, TargetError};
pub use template::{PathTemplate, Template, TemplateError};
pub use tunnels::{Tunnels, TunnelsConfig};
