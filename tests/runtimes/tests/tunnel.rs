//! Datagrams and capsules of a request, on every adapter and between any two.

use aqueduct_runtimes_tests::runtime::{Job, RUNTIMES, run};
use aqueduct_runtimes_tests::script::pattern;
use aqueduct_runtimes_tests::trace::Digest;
use aqueduct_runtimes_tests::tunnel::VALUE;

#[test]
fn a_protocol_that_nobody_knows_runs_on_every_adapter() {
    let echo = format!("capsule type 0x2ae000: {}", Digest::of(&pattern(VALUE)));
    let unknown = format!("capsule type 0x2ae001: {}", Digest::of(b"who knows"));
    let mut datagrams = vec!["ahead in 7".to_owned()];
    datagrams.extend((0..5).map(|n| format!("ping {n} in {n}")));
    for client in RUNTIMES {
        for server in RUNTIMES {
            let (asked, served) = run(client, server, Job::Tunnel);
            let pair = format!("{client:?} asks {server:?}");
            let told = served.of("CONNECT /tunnel");
            assert_eq!(told, ["requested", &*echo, &*unknown, "end"], "{pair}");
            assert_eq!(
                asked.of("CONNECT /tunnel"),
                ["200", "echo", "end"],
                "{pair}"
            );
            assert_eq!(asked.of("CONNECT /tunnel datagrams"), datagrams, "{pair}");
            assert_eq!(served.of("CONNECT /tunnel datagrams"), datagrams, "{pair}");
        }
    }
}
