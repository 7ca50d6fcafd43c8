//! Which Rust this is built with.

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let out = std::process::Command::new(rustc).arg("--version").output();
    let told = out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    println!(
        "cargo::rustc-env=PEERS_RUSTC={}",
        told.unwrap_or_else(|_| "an unknown Rust".into())
    );
    println!("cargo::rerun-if-changed=build.rs");
}
