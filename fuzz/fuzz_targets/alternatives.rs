//! `cargo +nightly fuzz run alternatives`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(alternatives);
