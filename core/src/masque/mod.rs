//! MASQUE: tunnels for UDP (RFC 9298) and TCP (draft-ietf-httpbis-connect-tcp) through an
//! HTTP/3 proxy.
//!
//! A tunnel is an extended CONNECT request like any other, so nothing here touches a
//! connection: these are the parts that say what a request asks for, whether it may, and
//! what it is told if it may not. Resolving names and opening sockets is up to who has
//! them.
//!
//! | file | what it is |
//! |---|---|
//! | `kind` | [`TunnelKind`]: which protocol, with its token and default path |
//! | `target` | [`Target`], [`Host`]: where a tunnel leads |
//! | `template` | [`Template`] of a client, [`PathTemplate`] of a proxy: targets in URIs |
//! | `policy` | [`TargetPolicy`], [`Rule`]: where tunnels may lead |
//! | `special` | [`SpecialRange`]: the addresses that no stranger is let to |
//! | `refusal` | [`Refusal`]: every reason for no tunnel, with its status and Proxy-Status |

mod kind;
mod policy;
mod refusal;
mod special;
mod target;
mod template;

pub use kind::TunnelKind;
pub use policy::{Denied, Rule, RuleError, TargetPolicy};
pub use refusal::Refusal;
pub use special::SpecialRange;
pub use target::{Host, Target, TargetError};
pub use template::{PathTemplate, Template, TemplateError};
