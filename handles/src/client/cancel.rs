//! A word from one task to another: it is not wanted any more.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::waiters::park;

#[derive(Debug, Default)]
pub(crate) struct Cancel(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    told: bool,
    waker: Option<Waker>,
}

impl Cancel {
    pub(crate) fn tell(&self) {
        let waker = {
            let mut told = self.lock();
            told.told = true;
            told.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let replaced = {
            let mut told = self.lock();
            if told.told {
                return Poll::Ready(());
            }
            park(&mut told.waker, cx.waker())
        };
        drop(replaced);
        Poll::Pending
    }

    /// What a future comes to, `None` if the word comes first.
    pub(crate) async fn unless<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
