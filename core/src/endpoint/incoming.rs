//! Which connection attempts are taken.

/// Which connection attempts a server takes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IncomingPolicy {
    /// Connections open at once, handshakes and outgoing connections included;
    /// further attempts are refused with CONNECTION_REFUSED. Default 10,000.
    pub max_connections: usize,
    /// When the client's address is checked before anything is spent on it.
    pub retry: Retry,
    /// Unfinished handshakes from which on [`Retry::WhenBusy`] checks addresses.
    /// Default 256.
    pub busy_handshakes: usize,
}

/// When a client must show that it can be reached at its address (RFC 9000
/// §8.1.2), at the price of one round trip.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// Never.
    Never,
    /// While many handshakes are unfinished.
    #[default]
    WhenBusy,
    /// Always.
    Always,
}

impl Default for IncomingPolicy {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            retry: Retry::WhenBusy,
            busy_handshakes: 256,
        }
    }
}

/// What becomes of one attempt.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Accept,
    Refuse,
    Retry,
}

/// What an endpoint has on its hands.
#[derive(Copy, Clone, Debug)]
pub(super) struct Load {
    /// Connections that are not over yet.
    pub(super) open: usize,
    /// Connections that are over but not forgotten yet.
    pub(super) closing: usize,
    /// Accepted handshakes that are not complete.
    pub(super) handshakes: usize,
}

impl IncomingPolicy {
    /// `validated`: the client has shown its address; `may_retry`: it has not
    /// been asked to before.
    pub(super) fn judge(&self, load: Load, validated: bool, may_retry: bool) -> Verdict {
        // What is closing holds memory for a few round trips; a flood of short
        // connections must not make it grow without bound.
        let full = load.open >= self.max_connections
            || load.open + load.closing >= self.max_connections.saturating_mul(2);
        let retry = match self.retry {
            Retry::Never => false,
            Retry::WhenBusy => load.handshakes >= self.busy_handshakes,
            Retry::Always => true,
        };
        match () {
            () if full => Verdict::Refuse,
            () if retry && !validated && may_retry => Verdict::Retry,
            () => Verdict::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_judged_by_load_and_address() {
        let policy = |retry| IncomingPolicy {
            max_connections: 4,
            retry,
            busy_handshakes: 2,
        };
        let load = |open, closing, handshakes| Load {
            open,
            closing,
            handshakes,
        };
        for (retry, load, validated, verdict) in [
            (Retry::WhenBusy, load(0, 0, 0), false, Verdict::Accept),
            (Retry::WhenBusy, load(2, 0, 2), false, Verdict::Retry),
            (Retry::WhenBusy, load(2, 0, 2), true, Verdict::Accept),
            (Retry::Never, load(3, 0, 3), false, Verdict::Accept),
            (Retry::Always, load(0, 0, 0), false, Verdict::Retry),
            (Retry::Always, load(4, 0, 0), false, Verdict::Refuse),
            (Retry::Always, load(4, 0, 0), true, Verdict::Refuse),
            (Retry::Never, load(1, 7, 0), true, Verdict::Refuse),
        ] {
            assert_eq!(
                policy(retry).judge(load, validated, !validated),
                verdict,
                "{retry:?} {load:?}"
            );
        }
    }
}
