//! Times that a behaviour asks for.

use super::*;
use crate::clock::{freeze, skip};

#[test]
fn a_time_comes_when_it_was_asked_for() {
    freeze();
    let mut net = net();
    let waits = Script::new(|told| match told {
        Told::Message(seconds) => Action::WakeAfter(Duration::from_secs((*seconds).into())).into(),
        Told::Datagram(_) => Action::Sleep.into(),
        _ => Does::new(),
    });
    let tells = Script::new(|told| match told {
        Told::Message(_) => Action::Datagram("sleep".into()).into(),
        _ => Does::new(),
    });
    let (mut ours, mut theirs) = net.tasks(waits, tells);
    net.settle_with(&mut [&mut ours, &mut theirs]);
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    ours.noted();
    for (asked, before) in [(10, 9), (5, 4)] {
        mailbox.try_send(asked).expect("room");
        net.settle_with(&mut [&mut ours, &mut theirs]);
        skip(Duration::from_secs(before));
        net.settle_with(&mut [&mut ours, &mut theirs]);
        assert_eq!(ours.noted(), [Told::Message(asked)]);
        skip(Duration::from_secs(1));
        net.settle_with(&mut [&mut ours, &mut theirs]);
        assert_eq!(ours.noted(), [Told::Timeout], "once");
    }
    // A later time replaces the one before, and none forgets it.
    for asked in [1, 8] {
        mailbox.try_send(asked).expect("room");
    }
    net.settle_with(&mut [&mut ours, &mut theirs]);
    skip(Duration::from_secs(7));
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(ours.noted(), [Told::Message(1), Told::Message(8)]);
    let mailbox = theirs.run.as_ref().expect("goes on").mailbox();
    mailbox.try_send(0).expect("room");
    net.settle_with(&mut [&mut ours, &mut theirs]);
    skip(Duration::from_secs(2));
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(ours.noted(), [Told::Datagram("sleep".into())]);
}
