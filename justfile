# Every recipe is a step of CI; `just ci` is all of them. Without just: `scripts/test`.

set shell := ["bash", "-euo", "pipefail", "-c"]

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")

# What is off by default and tested all the same.
optional := "--features aqueduct-tokio/tower,aqueduct-tokio/proxy,aqueduct-tokio/web-transport-trait,aqueduct-tokio/web-transport-trait-0-4,aqueduct-tokio/web-transport-trait-0-3,aqueduct-tokio/quic-lb"

# List the recipes.
default:
    @just --list --unsorted

# All steps, the quick ones first.
ci: fmt lines deps lint doc no-default features unit doctest packages moq examples attack msrv platforms interop

# Formatting, by rustfmt.toml.
fmt:
    cargo fmt --all --check

# No source file over 800 lines.
lines:
    scripts/ci/lines

# Licences, sources and banned crates, by deny.toml.
deps:
    scripts/ci/deps

# Clippy and the workspace lints; every warning is an error.
lint:
    cargo clippy --workspace --all-targets {{ optional }} --locked -- -D warnings

# Documentation, private items too; every broken link is an error.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace {{ optional }} --no-deps --document-private-items --locked

# The core without QUIC: no quinn and no rustls in its graph, and its tests pass.
no-default:
    scripts/ci/no-default

# Each cryptography provider alone, and everything together.
features:
    cargo check -p aqueduct-cli --no-default-features --features ring --locked
    cargo check -p aqueduct-cli --no-default-features --features aws-lc-rs --locked
    cargo check --workspace --all-features --locked

# Unit, scenario, layering and fuzz-replay tests.
unit *ARGS:
    cargo nextest run --workspace {{ optional }} --locked --profile ci {{ ARGS }}

# Examples in the documentation.
doctest:
    cargo test --doc --workspace {{ optional }} --locked

# Every package that can be published, packed, and the packed sources built.
packages:
    scripts/ci/packages

# Programs of Media over QUIC on our sessions.
moq:
    scripts/ci/moq

# The examples run and say what they should.
examples:
    scripts/ci/examples

# The attacks, in their short form: bounds on memory and handlers. `just attack soak` and others: tests/attack/README.md.
attack *ARGS="short":
    cargo build --locked -p aqueduct-attack
    "${CARGO_TARGET_DIR:-target}/debug/attack" {{ ARGS }}

# The oldest Rust that Cargo.toml promises.
msrv:
    scripts/ci/msrv

# core on wasm32, everything on Windows and macOS: type-checked.
platforms:
    scripts/ci/platforms

# Foreign programs against the release build.
interop *ARGS:
    tests/interop/run {{ ARGS }}

# Known vulnerabilities. Not a step of `ci`: it asks the network for its database.
advisories:
    cargo deny check advisories

# What a crate promises: its public items. Not a step of `ci`: it wants nightly and cargo-public-api. `just api core`
api CRATE *ARGS:
    cargo public-api -p aqueduct-{{ CRATE }} {{ if CRATE == "core" { "--no-default-features -F quinn,ring,driver,quic-lb,qlog" } else { "--all-features" } }} -sss {{ ARGS }}

# One fuzz target for five minutes, on nightly with cargo-fuzz. What it finds on the way stays in target/.
fuzz TARGET *ARGS:
    mkdir -p target/corpus/{{ TARGET }}
    CARGO_PROFILE_RELEASE_LTO=off cargo +nightly fuzz run {{ TARGET }} target/corpus/{{ TARGET }} fuzz/corpus/{{ TARGET }} -- \
        -max_total_time=300 -max_len=2048 -malloc_limit_mb=64 {{ ARGS }}

# Benchmarks: time beside the bare transport's, and allocations.
bench *ARGS:
    cargo bench -p aqueduct-benches {{ ARGS }}

# Instructions, allocations and datagrams of each operation, against benches/counts. Not a step of `ci`: it wants valgrind
# and the Rust that they are of.
instructions *ARGS="--check":
    benches/instructions {{ ARGS }}

# Aqueduct beside its peers, and beside quinn-proto alone: `just peers --quick`. Not a step of `ci`: it fetches and builds
# them. `just peers --check` tells whether it still compiles.
peers *ARGS:
    scripts/peers {{ ARGS }}
