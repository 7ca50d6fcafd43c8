//! `cargo +nightly fuzz run structured_fields`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(structured_fields);
