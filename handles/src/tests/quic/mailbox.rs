//! What an application says to a behaviour at work.

use super::*;
use crate::SendMessageError;

/// As many as wait for a behaviour at most.
const MOST: u32 = 1024;

fn messages(told: &[Told]) -> Vec<u32> {
    let number = |told: &Told| match told {
        Told::Message(number) => Some(*number),
        _ => None,
    };
    told.iter().filter_map(number).collect()
}

#[test]
fn messages_come_in_order_and_wake_the_task() {
    let mut net = net();
    let (mut ours, mut theirs) = net.tasks(Script::idle(), Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs]);
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    for number in 0..200 {
        mailbox.clone().try_send(number).expect("room");
    }
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(messages(&ours.noted()), (0..200).collect::<Vec<_>>());
    assert_eq!(messages(&theirs.noted()), []);
}

#[test]
fn a_full_one_refuses_and_waits_for_room() {
    let mut net = net();
    let (mut ours, mut theirs) = net.tasks(Script::idle(), Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs]);
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    for number in 0..MOST {
        mailbox.try_send(number).expect("room");
    }
    let full = mailbox.try_send(MOST).expect_err("as many as may wait");
    assert_eq!(full, SendMessageError::Full(MOST));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut given_up = Box::pin(mailbox.send(MOST + 7));
    assert!(given_up.as_mut().poll(&mut cx).is_pending());
    drop(given_up);
    let mut sending = pin!(mailbox.send(MOST));
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "there is room");
    assert_eq!(sending.poll(&mut cx), Poll::Ready(Ok(())));
    net.settle_with(&mut [&mut ours, &mut theirs]);
    assert_eq!(messages(&ours.noted()), (0..=MOST).collect::<Vec<_>>());
}

#[test]
fn whoever_writes_to_what_is_over_gets_the_message_back() {
    let mut net = net();
    let (mut ours, mut theirs) = net.tasks(Script::idle(), Script::idle());
    net.settle_with(&mut [&mut ours, &mut theirs]);
    let mailbox = ours.run.as_ref().expect("goes on").mailbox();
    for number in 0..MOST {
        mailbox.try_send(number).expect("room");
    }
    let mut sending = pin!(mailbox.send(5));
    assert!(poll(sending.as_mut()).is_none());
    drop(ours.run.take());
    let over = Some(Err(SendMessageError::Over(5)));
    assert_eq!(poll(sending.as_mut()), over);
    assert_eq!(mailbox.try_send(6), Err(SendMessageError::Over(6)));
    // The same when the connection has come to its end.
    let mailbox = theirs.run.as_ref().expect("goes on").mailbox();
    net.settle_with(&mut [&mut theirs]);
    assert!(theirs.over.is_some());
    assert_eq!(mailbox.try_send(7), Err(SendMessageError::Over(7)));
}
