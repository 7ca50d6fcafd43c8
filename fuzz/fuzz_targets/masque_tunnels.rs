//! `cargo +nightly fuzz run masque_tunnels`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(masque_tunnels);
