//! The pool of a client over QUIC: packets are lost, doubled and late, and servers that are
//! gone say nothing. A failure names its seed, and the command that repeats it.

#[path = "../../../pool/ends.rs"]
#[allow(dead_code, reason = "streams without QUIC are for the other package")]
mod ends;
mod over_quic;
#[path = "../../../pool/restarts.rs"]
mod restarts;
#[path = "../../../pool/world.rs"]
#[allow(dead_code, reason = "of what it tells, some is for other stories")]
mod world;
