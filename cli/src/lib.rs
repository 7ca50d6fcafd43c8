//! The parts of the `aqueduct` program: its commands, and what they are made of, which can be
//! tested without a network.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | the command line |
//! | [`mod@bench`] | `aqueduct bench` |
//! | [`certificate`] | what a certificate says of itself |
//! | [`chunks`] | bodies from and to files, in chunks |
//! | [`client`] | connections of the commands that are clients, and those through a proxy |
//! | [`demo`] | which request asks for which demonstration, and the pattern of test bytes |
//! | [`draft`] | files that get their name when they are whole, and parts |
//! | [`exit`] | exit codes, and failures that know theirs |
//! | [`files`] | from a request path to a range of a file, without a way out of the folder |
//! | [`get`] | `aqueduct get` |
//! | [`identities`] | the certificates of a server, and those read anew |
//! | [`identity`] | the server's certificate and its fingerprints |
//! | [`logging`] | `-v` and `RUST_LOG` |
//! | [`outlet`] | lines that wait for their reader and have nobody else wait |
//! | [`output`] | lines for people or JSON for programs |
//! | [`page`] | the single page behind `--page` |
//! | [`percent`] | percent-decoding of paths and queries |
//! | [`probe`] | `aqueduct probe` |
//! | [`progress`] | bars on transfers |
//! | [`proxy`] | `aqueduct proxy` |
//! | [`quic`] | `aqueduct quic` |
//! | [`record`] | the file behind `--record` |
//! | [`replay`] | `aqueduct replay` |
//! | [`roundtrips`] | datagrams there and back: matching and statistics |
//! | [`run`] | the program as a whole |
//! | [`secrets`] | tokens and passwords, from files and the environment |
//! | [`serve`] | `aqueduct serve` |
//! | [`signals`] | what ends a server |
//! | [`mod@silence`] | waiting until nothing has come for a while |
//! | [`throttle`] | warnings that others cause, one a second |
//! | [`tls`] | rustls configurations and what a client trusts |
//! | [`tunnel`] | `aqueduct tunnel` |
//! | [`units`] | bytes, rates and durations, read and written |
//! | [`wt`] | `aqueduct wt` |

pub mod args;
pub mod bench;
pub mod certificate;
pub mod chunks;
pub mod client;
pub mod demo;
pub mod draft;
pub mod exit;
pub mod files;
pub mod get;
pub mod identities;
pub mod identity;
pub mod logging;
pub mod outlet;
pub mod output;
pub mod page;
pub mod percent;
pub mod probe;
pub mod progress;
pub mod proxy;
#[cfg(feature = "qlog")]
pub mod qlog;
pub mod quic;
pub mod record;
pub mod replay;
mod reset_key;
pub mod roundtrips;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod signals;
pub mod silence;
pub mod throttle;
pub mod tls;
pub mod tunnel;
mod turns;
pub mod units;
pub mod wt;
