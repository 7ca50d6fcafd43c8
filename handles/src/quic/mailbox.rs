//! What an application tells a behaviour that runs.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aqueduct_core::behaviour::SendMessageError;

use crate::waiters::{Waiters, park};

/// The way to a behaviour that runs ([`Run`](super::Run)). Clones lead to the same one.
pub struct Mailbox<M>(Arc<Mutex<Letters<M>>>);

struct Letters<M> {
    waiting: VecDeque<M>,
    most: usize,
    /// Who reads them.
    reader: Option<Waker>,
    /// Who waits for room.
    writers: Waiters,
    over: bool,
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("waiting", &self.lock().waiting.len())
            .finish_non_exhaustive()
    }
}

impl<M> Mailbox<M> {
    /// An empty one, of which `most` messages wait at most.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Letters {
            waiting: VecDeque::new(),
            most: most.max(1),
            reader: None,
            writers: Waiters::default(),
            over: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Letters<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the behaviour something, if there is room.
    ///
    /// # Errors
    /// [`SendMessageError`], with the message.
    pub fn try_send(&self, message: M) -> Result<(), SendMessageError<M>> {
        let mut letters = self.lock();
        if letters.over {
            return Err(SendMessageError::Over(message));
        }
        if letters.waiting.len() >= letters.most {
            return Err(SendMessageError::Full(message));
        }
        letters.waiting.push_back(message);
        let reader = letters.reader.take();
        drop(letters);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Tells the behaviour something, and waits for room. Cancel safe: what was not taken is
    /// dropped.
    ///
    /// # Errors
    /// [`SendMessageError::Over`], with the message.
    pub async fn send(&self, message: M) -> Result<(), SendMessageError<M>> {
        let mut message = Some(message);
        let mut ticket = Ticket {
            mailbox: self,
            place: None,
        };
        poll_fn(|cx| {
            let Some(it) = message.take() else {
                return Poll::Ready(Ok(()));
            };
            match self.try_send(it) {
                Err(SendMessageError::Full(it)) => {
                    message = Some(it);
                    let mut letters = self.lock();
                    // Room may have been made since.
                    if letters.over || letters.waiting.len() < letters.most {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let replaced = letters.writers.register(&mut ticket.place, cx.waker());
                    drop(letters);
                    drop(replaced);
                    Poll::Pending
                }
                result => Poll::Ready(result),
            }
        })
        .await
    }

    /// The oldest message; `None` when there is none, and the reader is woken when there is.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Option<M> {
        let mut letters = self.lock();
        let mut wakes = Vec::new();
        let message = letters.waiting.pop_front();
        let replaced = match message {
            Some(_) => {
                letters.writers.wake(&mut wakes);
                None
            }
            None => park(&mut letters.reader, cx.waker()),
        };
        drop(letters);
        drop(replaced);
        wakes.into_iter().for_each(Waker::wake);
        message
    }

    /// Nobody reads any more.
    pub(super) fn end(&self) {
        let mut letters = self.lock();
        letters.over = true;
        let mut wakes = Vec::new();
        letters.writers.wake(&mut wakes);
        let (rest, reader) = (std::mem::take(&mut letters.waiting), letters.reader.take());
        drop(letters);
        // What was left runs the application's own drops.
        drop((rest, reader));
        wakes.into_iter().for_each(Waker::wake);
    }
}

/// A place among those who wait, given back when the future is dropped.
struct Ticket<'a, M> {
    mailbox: &'a Mailbox<M>,
    place: Option<usize>,
}

impl<M> Drop for Ticket<'_, M> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = self.mailbox.lock().writers.leave(place);
            drop(left);
        }
    }
}
