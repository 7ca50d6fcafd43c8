//! `cargo +nightly fuzz run qpack_encoder`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(qpack_encoder);
