//! How a behaviour at work ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aqueduct_core::behaviour::NewStream;

use super::*;

/// Opens a stream with these bytes and their end, once connected.
fn says(bytes: &'static str) -> Script {
    let log = Log::default();
    let owner = log.clone();
    let script = Script::new(move |told| match told {
        Told::Connected => {
            let stream = NewStream::new(Dir::Bi, reader(&owner));
            Action::from(stream.first(bytes).finish()).into()
        }
        _ => Does::new(),
    });
    Script { log, ..script }
}

#[test]
fn it_runs_to_the_end_and_gives_the_behaviour_back() {
    let mut net = net();
    let server = Script::new(|told| match told {
        Told::Message(0) => Action::Close(7, "bye".into()).into(),
        _ => Does::new(),
    });
    let (mut ours, mut theirs) = net.tasks(says("hi"), server);
    net.settle_with(&mut [&mut ours, &mut theirs]);
    let told = [
        Told::Begun,
        Told::Connected,
        Told::Opened,
        Told::Data("hi".into(), true),
        Told::Message(0),
        Told::Closed,
    ];
    assert_eq!(theirs.noted(), told);
    let told = [Told::Connected, Told::ByPeer(7), Told::Closed];
    assert_eq!(ours.noted(), told);
    assert!(ours.over.is_some() && theirs.over.is_some());
    let endpoints = [net.client.clone(), net.server.clone()];
    for endpoint in endpoints {
        net.run(endpoint.wait_idle());
        let shared = endpoint.shared().clone();
        let mut locked = shared.lock();
        assert_eq!(locked.state().conns.len(), 0);
        assert_eq!(locked.state().alarms.len(), 0);
    }
}

/// Row E19.
#[test]
fn dropping_it_closes_the_connection_with_0() {
    let mut net = net();
    let (mut ours, mut theirs) = net.tasks(Script::idle(), Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs]);
    theirs.noted();
    drop(ours.run.take());
    net.settle_with(&mut [&mut theirs]);
    assert_eq!(theirs.noted(), [Told::ByPeer(0), Told::Closed]);
    assert!(theirs.over.is_some());
    assert_eq!(
        ours.noted(),
        [Told::Connected],
        "its own behaviour is dropped"
    );
}

#[test]
fn dropping_a_connection_that_never_ran_does_as_well() {
    let mut net = net();
    let (ours, theirs) = net.quic();
    let mut ours = Task::new(ours, Script::idle());
    net.settle_with(&mut [&mut ours]);
    drop(theirs);
    net.settle_with(&mut [&mut ours]);
    let told = [Told::Connected, Told::ByPeer(0), Told::Closed];
    assert_eq!(ours.noted(), told);
    let server = net.server.clone();
    net.run(server.wait_idle());
}

#[test]
fn a_panic_ends_its_task_and_its_connection_alone() {
    let mut net = net();
    let panics = Script::new(|told| match told {
        Told::Datagram(_) => panic!("as the test wants it"),
        _ => Does::new(),
    });
    let sends = |to: &'static [u8]| {
        Script::new(move |told| match told {
            Told::Message(_) => Action::Datagram(to.into()).into(),
            _ => Does::new(),
        })
    };
    let (mut ours, mut theirs) = net.tasks(sends(b"now"), panics);
    let (mut other, mut others) = net.tasks(sends(b"well"), Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs, &mut other, &mut others]);
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    mailbox.try_send(1).expect("room");
    let ended = catch_unwind(AssertUnwindSafe(|| {
        net.settle_with(&mut [&mut ours, &mut theirs]);
    }));
    ended.expect_err("the callback panics");
    // As a runtime does with a task that has panicked.
    drop(theirs.run.take());
    let mailbox = other.run.as_ref().expect("goes on").mailbox();
    mailbox.try_send(1).expect("room");
    net.settle_with(&mut [&mut ours, &mut other, &mut others]);
    assert_eq!(
        ours.noted().last_chunk(),
        Some(&[Told::ByPeer(0), Told::Closed])
    );
    let told = others.noted();
    assert_eq!(told.last(), Some(&Told::Datagram("well".into())));
}

/// What a stream has that nobody takes keeps nobody waiting for a time that never comes.
#[test]
fn a_driver_that_is_gone_ends_it() {
    let mut net = net();
    let server = Script {
        mode: Mode::Passive,
        ..Script::new(|told| match told {
            Told::Begun => Action::WakeAfter(Duration::from_secs(60)).into(),
            _ => Does::new(),
        })
    };
    let (mut ours, mut theirs) = net.tasks(says("unread"), server);
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(theirs.noted(), [Told::Begun, Told::Connected, Told::Opened]);
    let (client, target) = (net.client.clone(), net.quic_target());
    drop(net.ends);
    for _ in 0..10 {
        ours.go();
        theirs.go();
    }
    let told = theirs.noted();
    assert_eq!(told.last(), Some(&Told::Closed), "{told:?}");
    assert!(theirs.over.is_some(), "and it gives the behaviour back");
    assert_eq!(ours.noted().last(), Some(&Told::Closed));
    client.connect_quic(target).expect_err("nobody drives it");
}

#[test]
fn what_ended_before_it_was_accepted_is_told_all_the_same() {
    let mut net = net();
    let client = net.client.clone();
    let ours = client.connect_quic(net.quic_target()).expect("begins");
    let mut ours = Task::new(ours, says("short"));
    net.settle_with(&mut [&mut ours]);
    drop(ours.run.take());
    net.settle();
    let server = net.server.clone();
    let theirs = net.run(server.accept_quic()).expect("waits");
    let mut theirs = Task::new(theirs, Script::idle());
    net.settle_with(&mut [&mut theirs]);
    let told = theirs.noted();
    assert_eq!(told[..2], [Told::Begun, Told::Connected]);
    assert!(told.contains(&Told::Data("short".into(), true)), "{told:?}");
    assert_eq!(told.last(), Some(&Told::Closed));
}
