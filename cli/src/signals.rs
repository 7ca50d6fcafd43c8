//! The signals that end a server: SIGINT and SIGTERM, or Ctrl-C and Ctrl-Break on Windows.

use std::io;

/// Waits for signals. They no longer end the process at once from [`Signals::listen`] on.
#[derive(Debug)]
pub struct Signals {
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
        Ok(Self {
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

    /// The name of the next signal. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => if cfg!(windows) { "Ctrl-C" } else { "SIGINT" },
            _ = self.terminate.recv() => if cfg!(windows) { "Ctrl-Break" } else { "SIGTERM" },
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn both_signals_are_caught_and_named() {
        let mut signals = Signals::listen().unwrap();
        for (flag, name) in [
            ("-TERM", "SIGTERM"),
            ("-INT", "SIGINT"),
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
            assert_eq!(signals.next().await, name);
        }
    }
}
