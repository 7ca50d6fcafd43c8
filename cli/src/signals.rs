//! The signals that end the program, SIGINT and SIGTERM, or Ctrl-C and Ctrl-Break on Windows; and
//! SIGHUP, which ends a client and has a server read its certificates again.

use std::fmt;
use std::io;

use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// A signal that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT, or Ctrl-C.
    Interrupt,
    /// SIGTERM, or Ctrl-Break.
    Terminate,
}

impl Signal {
    /// The exit code of a client that it ends.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Hangup => Exit::Hangup,
            Self::Interrupt => Exit::Interrupt,
            Self::Terminate => Exit::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt if cfg!(windows) => "Ctrl-C",
            Self::Interrupt => "SIGINT",
            Self::Terminate if cfg!(windows) => "Ctrl-Break",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Waits for signals. They no longer end the process at once from [`Signals::listen`] on.
#[derive(Debug)]
pub struct Signals {
    /// `None` when whoever started the process has SIGHUP ignored.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    terminate: tokio::signal::windows::CtrlBreak,
}

impl Signals {
    /// Starts to listen. Must be called within a tokio runtime that has I/O enabled.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = (!hangup_is_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            hangup: hangup.transpose()?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Starts to listen. Must be called within a tokio runtime that has I/O enabled.
    #[cfg(windows)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        Ok(Self {
            interrupt: ctrl_c()?,
            terminate: ctrl_break()?,
        })
    }

    /// The next that ends the program; SIGHUP passes.
    pub async fn end(&mut self) -> Signal {
        loop {
            match self.next().await {
                Signal::Hangup => {}
                signal => return signal,
            }
        }
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        #[cfg(windows)]
        let hangup = std::future::pending::<()>();
        tokio::select! {
            _ = hangup => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// Whether the process was started so that it outlives its terminal, as `nohup` does. Told by Linux;
/// elsewhere it is taken not to be.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is the first.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// What ends a client before its time. The first signal lets it take its leave; another ends the
/// process at once.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<Option<Signal>>);

impl Interrupt {
    /// Starts to listen. Must be called within a tokio runtime that has I/O enabled.
    pub fn listen() -> io::Result<Self> {
        let mut signals = Signals::listen()?;
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            let first = signals.next().await;
            // Whoever does not want to know is about to end.
            let _ = tell.send(Some(first));
            let again = signals.next().await;
            std::process::exit(again.exit() as i32);
        });
        Ok(Self(told))
    }

    /// The first signal. Cancel-safe.
    pub async fn came(&mut self) -> Signal {
        // The task that tells ends with the process, or with the runtime.
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(signal)) => *signal,
            _ => std::future::pending().await,
        }
    }

    /// Does `work`, which a signal cuts short.
    ///
    /// # Errors
    /// Those of `work`, or the signal.
    pub async fn or<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            signal = self.came() => Err(Failure::new(signal.exit(), format!("{signal} came before it was done"))),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn signals_are_caught_and_named() {
        let mut signals = Signals::listen().unwrap();
        for (flag, name) in [
            ("-TERM", "SIGTERM"),
            ("-INT", "SIGINT"),
            ("-HUP", "SIGHUP"),
            ("-TERM", "SIGTERM"),
        ] {
            let pid = std::process::id().to_string();
            assert!(
                Command::new("kill")
                    .args([flag, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            assert_eq!(signals.next().await.to_string(), name);
        }
    }
}
