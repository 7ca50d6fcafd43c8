//! The bodies of all fuzz targets, as plain functions of bytes.
//!
//! `cargo +nightly fuzz run NAME` lets libFuzzer choose the bytes;
//! `tests/replay.rs` runs the committed corpus and seeded random bytes on
//! stable; `cargo run -p aqueduct-fuzz --bin NAME -- FILE...` runs single
//! inputs, a crash for instance. A target panics when the core breaks a
//! promise, and does nothing else with what it finds.

pub mod alternatives;
pub mod application;
pub mod capsule_reader;
pub mod datagram;
pub mod frame_reader;
pub mod h3;
pub mod h3_client;
pub mod h3_server;
pub mod held;
pub mod input;
pub mod masque_template;
pub mod masque_tunnels;
pub mod message;
pub mod pool;
pub mod qpack_decode;
pub mod qpack_encoder;
pub mod qpack_roundtrip;
pub mod quic;
pub mod quic_endpoint;
pub mod quic_ops;
pub mod recording;
pub mod reset_at;
pub mod session_ops;
pub mod settings;
pub mod structured_fields;
pub mod varint;

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// A fuzz target: its name, which is that of its corpus folder, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Hands the names of all targets to a macro.
#[macro_export]
macro_rules! for_each_target {
    ($do:ident) => {
        $do! {
            varint frame_reader capsule_reader settings structured_fields datagram
            qpack_decode qpack_encoder qpack_roundtrip message
            h3_server h3_client session_ops recording masque_template masque_tunnels
            alternatives pool reset_at quic_ops quic_endpoint
        }
    };
}

/// The `main` of a target: libFuzzer's under cargo-fuzz, else one that runs the
/// files named on the command line.
#[macro_export]
macro_rules! main {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::target(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for path in std::env::args_os().skip(1) {
                $crate::$name::target(&std::fs::read(path)?);
            }
            Ok(())
        }
    };
}
