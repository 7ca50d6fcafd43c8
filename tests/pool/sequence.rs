//! Many requests, one after the other.

use crate::ends;
use crate::world::{Outcome, World};

/// Row D19: two thousand requests in a row, over one connection, leave nothing behind in
/// the pool, the connection or the server's end.
#[test]
fn two_thousand_requests_leave_nothing_behind() {
    let mut world = World::new(1, 1, ends::loopback, |_| {});
    world.rough = false;
    for round in 0..2_000 {
        let number = world.ask(0, 0);
        for _ in 0..10 {
            if world.is_quiet() {
                break;
            }
            world.tick();
        }
        assert_eq!(world.requests[&number].outcome, Some(Outcome::Answered));
        let stats = world.pool(0).stats();
        let all = stats.all;
        assert_eq!(
            (all.active, all.queued, all.idle, all.connections),
            (0, 0, 1, 1)
        );
        assert_eq!((stats.origins, stats.dials), (1, 1));
        let (wires, streams) = world.wires(0);
        assert!(
            wires == 1 && streams <= 8,
            "{streams} streams after {round} requests"
        );
    }
    world.judge();
}
