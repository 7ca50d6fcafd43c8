//! Requests that are dropped wherever they have come to: nothing is left of them.

use super::*;
use crate::client::Part;

/// What the server does with a request that it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Site {
    Silent,
    Begins,
    Answers,
}

/// Takes turns with a server of that kind, which holds what it answers slowly.
fn turn(lab: &mut Lab, site: Site, theirs: &mut Option<Connection>, held: &mut Vec<ServerRequest>) {
    lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
    skip(TICK);
    lab.net.turn();
    if theirs.is_none() {
        *theirs = poll(pin!(lab.net.server.accept())).flatten();
    }
    if let Some(conn) = theirs {
        while let Some(Some((_, mut server))) = poll(pin!(conn.accept_request())) {
            match site {
                Site::Silent => held.push(server),
                Site::Begins => {
                    begin(&mut server);
                    held.push(server);
                }
                Site::Answers => reply(&mut server),
            }
        }
    }
}

/// An upload that never ends, or no content.
fn request(uploads: bool) -> Request<Body> {
    let body = match uploads {
        true => Body::from_fn(|_| Poll::Ready(Some(Ok(Part::Data(Bytes::from_static(&[7; 700])))))),
        false => Body::empty(),
    };
    Request::post(URI).body(body).expect("valid")
}

#[track_caller]
fn nothing_is_left(lab: &mut Lab, of: &str) {
    lab.settle();
    let stats = lab.client.stats();
    assert_eq!(
        (stats.all.active, stats.all.queued),
        (0, 0),
        "{of}: {stats:?}"
    );
    assert_eq!(lab.client.hub().held().0, 0, "{of}");
}

/// Row D9: a future that is dropped after any number of turns leaves nothing.
#[test]
fn nothing_is_left_of_what_is_given_up_anywhere() {
    for site in [Site::Silent, Site::Begins, Site::Answers] {
        for uploads in [false, true] {
            for turns in 0..24 {
                let of = format!("{site:?} {uploads} {turns}");
                let mut lab = Lab::new();
                let (mut theirs, mut held) = (None, Vec::new());
                let client = lab.client.clone();
                let mut future = Box::pin(client.request(request(uploads)));
                let mut answer = None;
                for _ in 0..turns {
                    if answer.is_none() {
                        answer = poll(future.as_mut());
                    }
                    turn(&mut lab, site, &mut theirs, &mut held);
                }
                drop((future, answer));
                nothing_is_left(&mut lab, &of);
                // The connection, if there is one, serves on.
                let later = lab.get();
                for _ in 0..200 {
                    turn(&mut lab, Site::Answers, &mut theirs, &mut held);
                }
                let answer = later.take().expect(&of);
                assert_eq!(answer.expect(&of).status(), 200, "{of}");
            }
        }
    }
}

/// Rows D9, D19: nor of thousands on one connection.
#[test]
fn nothing_is_left_of_thousands_that_are_given_up() {
    let mut lab = Lab::new();
    let (mut theirs, mut held) = (None, Vec::new());
    for number in 0..3_000_usize {
        let site = [Site::Silent, Site::Begins, Site::Answers][number % 3];
        let client = lab.client.clone();
        let mut future = Box::pin(client.request(request(number % 2 == 0)));
        let mut answer = None;
        for _ in 0..number % 11 {
            if answer.is_none() {
                answer = poll(future.as_mut());
            }
            turn(&mut lab, site, &mut theirs, &mut held);
        }
        drop((future, answer));
        held.clear();
    }
    for _ in 0..200 {
        turn(&mut lab, Site::Answers, &mut theirs, &mut held);
    }
    nothing_is_left(&mut lab, "thousands");
    let stats = lab.client.stats();
    assert_eq!((stats.dials, stats.all.connections), (1, 1), "{stats:?}");
    let mut locked = lab.net.client.shared().lock();
    assert_eq!(locked.state().alarms.len(), 1, "the pool's own");
}
