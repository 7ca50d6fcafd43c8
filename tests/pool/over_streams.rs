//! The world of restarts over streams without QUIC, many times.

use crate::ends;
use crate::restarts::play;

/// Rows D1 to D3, D7 to D11, D13, D14: no request is lost without an answer, none that was
/// told unprocessed was processed, none was sent twice, and queues keep their order.
/// `SEEDS=400` makes 10,000 runs.
#[test]
fn no_request_is_lost_when_servers_restart() {
    let (runs, answered, unprocessed) = play("aqueduct-tests", 25, ends::loopback);
    assert!(answered > 10 * runs, "{answered} answered in {runs} runs");
    assert!(
        runs < 25 || unprocessed > runs,
        "{unprocessed} in {runs} runs"
    );
}
