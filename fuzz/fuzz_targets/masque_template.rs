//! `cargo +nightly fuzz run masque_template`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(masque_template);
