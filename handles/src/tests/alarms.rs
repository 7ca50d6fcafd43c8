//! Timers that the driver's deadline wakes.

use super::*;
use crate::alarm::Alarm;
use crate::clock::skip;

fn count() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

/// The driver is told of what comes before the time that it sleeps to, and of nothing else.
#[test]
fn an_earlier_alarm_kicks_the_driver_and_a_later_one_does_not() {
    let mut net = Net::new();
    net.settle();
    let shared = net.client.shared().clone();
    let kicked = |net: &Net| {
        let mut cx = Context::from_waker(Waker::noop());
        net.ends[0].0.poll_kicked(&mut cx).is_ready()
    };
    let deadline = |net: &mut Net| {
        let (worker, wire) = &mut net.ends[0];
        let turn = worker.turn(now(), wire).expect("no errors here");
        turn.expect("goes on").deadline
    };
    let (woken, waker) = count();
    let at = now() + Duration::from_secs(10);
    let (mut first, mut later) = (Alarm::new(&shared), Alarm::new(&shared));
    first.set(at, &waker);
    assert!(kicked(&net), "it sleeps for ever");
    assert_eq!(deadline(&mut net), Some(at));
    later.set(at + Duration::from_secs(1), &waker);
    assert!(!kicked(&net), "it comes back in time");
    later.set(at - Duration::from_secs(1), &waker);
    assert!(kicked(&net));
    assert_eq!(deadline(&mut net), Some(at - Duration::from_secs(1)));
    later.clear();
    skip(Duration::from_secs(9));
    net.settle();
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    skip(Duration::from_secs(1));
    net.settle();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(deadline(&mut net), None);
}

/// Whoever waits for a time does not wait for a driver that is no more.
#[test]
fn the_end_of_the_driver_wakes_all() {
    let net = Net::new();
    let (woken, waker) = count();
    let mut alarm = Alarm::new(net.client.shared());
    alarm.set(now() + Duration::from_secs(1), &waker);
    drop(net.ends);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
}
