//! Behaviours hold up nobody but their own connection.

use std::sync::mpsc;
use std::thread;

use aqueduct_core::behaviour::NewStream;

use super::*;

#[test]
fn no_callback_is_called_under_the_lock() {
    let mut net = net();
    let (client, server) = (net.client.clone(), net.server.clone());
    let checks = |endpoint: Endpoint| {
        Script::new(move |told| {
            assert!(endpoint.shared().is_free(), "the lock is held at {told:?}");
            match told {
                Told::Connected => Action::Datagram("x".into()).into(),
                Told::Datagram(_) => Action::Stop.into(),
                _ => Does::new(),
            }
        })
    };
    let (mut ours, mut theirs) = net.tasks(checks(client), checks(server));
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(ours.noted().last(), Some(&Told::Closed));
    assert_eq!(theirs.noted().last(), Some(&Told::Closed));
}

#[test]
fn a_callback_that_blocks_holds_up_its_own_task() {
    let mut net = net();
    let (reached, at_it) = mpsc::channel();
    let (go_on, released) = mpsc::channel::<()>();
    let blocks = Script::new(move |told| {
        if *told == Told::Connected {
            reached.send(()).expect("awaited");
            released.recv().expect("is released");
        }
        Does::new()
    });
    let (mut ours, mut theirs) = net.tasks(blocks, Script::idle());
    let closes = Script::new(|told| match told {
        Told::Connected => Action::Close(3, "".into()).into(),
        _ => Does::new(),
    });
    net.settle_with(&mut [&mut theirs]);
    thread::scope(|threads| {
        threads.spawn(|| while ours.go() {});
        at_it.recv().expect("is called");
        let (mut other, mut others) = net.tasks(closes, Script::idle());
        net.settle_with(&mut [&mut other, &mut others, &mut theirs]);
        go_on.send(()).expect("waits");
        assert!(other.over.is_some() && others.over.is_some());
    });
    assert_eq!(ours.noted(), [Told::Connected]);
}

#[test]
fn one_that_never_rests_gives_way() {
    let mut net = net();
    let busy = Script::new(|told| match told {
        Told::Connected | Told::Continued => Action::Continue.into(),
        _ => Does::new(),
    });
    let closes = Script::new(|told| match told {
        Told::Connected => Action::Close(3, "".into()).into(),
        _ => Does::new(),
    });
    let (mut ours, mut theirs) = net.tasks(busy, Script::idle());
    let (mut other, mut others) = net.tasks(closes, Script::idle());
    let mut rounds = 0;
    while other.over.is_none() || others.over.is_none() {
        net.turn();
        for task in [&mut ours, &mut theirs, &mut other, &mut others] {
            task.go();
        }
        assert!(ours.noted().len() <= 8 * 256 + 1, "more than a share");
        rounds += 1;
        assert!(rounds < 100, "it starves the others");
    }
    assert!(ours.go(), "it is woken again all the same");
}

/// Row E22: what a behaviour has not been told of waits with the peer.
#[test]
fn events_that_nobody_takes_keep_the_peers_streams_waiting() {
    let mut net = net_with(quic::Config::new().open_streams(3));
    let log = Log::default();
    let begins = Script::new(move |told| match told {
        Told::Message(_) => (0..10)
            .map(|_| {
                NewStream::new(Dir::Uni, reader(&log))
                    .first("x")
                    .finish()
                    .into()
            })
            .collect(),
        _ => Does::new(),
    });
    let (mut ours, mut theirs) = net.tasks(begins, Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs]);
    theirs.noted();
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    mailbox.try_send(0).expect("room");
    net.settle_with(&mut [&mut ours]);
    let opened = |told: Vec<Told>| told.iter().filter(|it| **it == Told::Opened).count();
    let mut seen = Vec::new();
    for _ in 0..20 {
        theirs.go();
        seen.push(opened(theirs.noted()));
        net.settle_with(&mut [&mut ours]);
    }
    assert_eq!(seen[0], 3, "as many as may be open");
    assert_eq!(seen.iter().max(), Some(&3));
    assert_eq!(seen.iter().sum::<usize>(), 10, "none is lost");
}
