//! `cargo +nightly fuzz run h3_server`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(h3_server);
