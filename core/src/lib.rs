//! Sans-IO HTTP/3 and WebTransport.
#![forbid(unsafe_code)]

pub mod code;
pub mod wire;
