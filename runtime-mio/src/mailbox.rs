//! What an application tells a behaviour that runs in a loop.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::behaviour::SendMessageError;
use aqueduct_core::id::ConnKey;

use crate::key::PortKey;
use crate::remote::Remote;

/// Messages that wait for a behaviour.
const MOST: usize = 1024;

/// A connection of one of the ports.
pub(crate) type Peer = (PortKey, ConnKey);

/// The way to a behaviour that runs in a loop ([`Behaviours`](crate::Behaviours)), from
/// this thread or another, a callback among them. Clones lead to the same one. 1,024
/// messages wait at most. What it locks nobody holds for longer than a message takes to be
/// moved.
pub struct Mailbox<M>(Arc<Inner<M>>);

struct Inner<M> {
    peer: Peer,
    letters: Mutex<Letters<M>>,
    post: Arc<Post>,
}

struct Letters<M> {
    waiting: VecDeque<M>,
    /// The loop knows that some wait.
    told: bool,
    over: bool,
}

/// Where a loop finds out whose letters wait.
#[derive(Debug)]
pub(crate) struct Post {
    line: Mutex<Vec<Peer>>,
    remote: Remote,
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailbox").field(&self.0.peer).finish()
    }
}

impl<M> Mailbox<M> {
    pub(crate) fn new(peer: Peer, post: &Arc<Post>) -> Self {
        Self(Arc::new(Inner {
            peer,
            letters: Mutex::new(Letters {
                waiting: VecDeque::new(),
                told: false,
                over: false,
            }),
            post: Arc::clone(post),
        }))
    }

    /// Tells the behaviour something, if there is room, in the loop's next turn. Never waits.
    ///
    /// # Errors
    /// [`SendMessageError`], with the message.
    pub fn try_send(&self, message: M) -> Result<(), SendMessageError<M>> {
        let mut letters = lock(&self.0.letters);
        if letters.over {
            return Err(SendMessageError::Over(message));
        }
        if letters.waiting.len() >= MOST {
            return Err(SendMessageError::Full(message));
        }
        letters.waiting.push_back(message);
        let told = std::mem::replace(&mut letters.told, true);
        drop(letters);
        if !told {
            self.0.post.put(self.0.peer);
        }
        Ok(())
    }

    /// The oldest messages, so many at most, and whether there are more.
    pub(crate) fn take(&self, most: usize) -> (Vec<M>, bool) {
        let mut letters = lock(&self.0.letters);
        let some = letters.waiting.len().min(most);
        let taken = letters.waiting.drain(..some).collect();
        letters.told = !letters.waiting.is_empty();
        (taken, letters.told)
    }

    /// Nobody reads any more.
    pub(crate) fn end(&self) {
        let mut letters = lock(&self.0.letters);
        letters.over = true;
        let rest = std::mem::take(&mut letters.waiting);
        drop(letters);
        // What was left runs the application's own drops.
        drop(rest);
    }
}

impl Post {
    pub(crate) fn new(remote: Remote) -> Arc<Self> {
        let line = Mutex::default();
        Arc::new(Self { line, remote })
    }

    fn put(&self, peer: Peer) {
        let mut line = lock(&self.line);
        let first = line.is_empty();
        line.push(peer);
        drop(line);
        if first {
            self.remote.wake();
        }
    }

    /// Whether somebody has letters.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.line).is_empty()
    }

    /// Those who have.
    pub(crate) fn take(&self) -> Vec<Peer> {
        std::mem::take(&mut *lock(&self.line))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
