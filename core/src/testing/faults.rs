//! Errors of sockets, for the tests of adapters, by their numbers on Linux.

use std::collections::VecDeque;
use std::io;

#[cfg(all(feature = "driver", target_os = "linux"))]
use crate::driver::{UdpIo, quinn_udp::Transmit};

/// ENOMEM, EPERM, EPROTO, EMSGSIZE, ENETDOWN, ENOBUFS, ETIMEDOUT: they pass.
pub const PASSING: [i32; 7] = [12, 1, 71, 90, 100, 105, 110];

/// EBADF: the socket is gone.
pub const GONE: i32 = 9;

/// What receive calls do before they are made, one after the other.
#[derive(Debug, Default)]
pub struct Script(VecDeque<i32>);

impl Script {
    /// Receive calls that fail with these errors first.
    pub fn new(errors: impl Into<VecDeque<i32>>) -> Self {
        Self(errors.into())
    }

    /// What the next receive call does first.
    ///
    /// # Errors
    /// The next one, while some are left.
    pub fn recv(&mut self) -> io::Result<()> {
        match self.0.pop_front() {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(()),
        }
    }
}

/// An error about one receiver makes quinn-udp give up GSO and ECN for all; goes through
/// that with a socket of IPv4 which has them, and is told how to restore them.
///
/// # Panics
/// When they are not as before.
#[cfg(all(feature = "driver", target_os = "linux"))]
pub fn what_one_receiver_costs_is_restored(socket: &mut impl UdpIo) {
    /// EINVAL.
    const INVALID: i32 = 22;
    let before = socket.limits();
    let mut transmit = Transmit {
        destination: ([127, 0, 0, 1], 0).into(),
        ecn: None,
        contents: b"hello",
        segment_size: None,
        src_ip: None,
    };
    let refused = socket.send(&transmit).expect_err("no such port");
    assert_eq!(refused.raw_os_error(), Some(INVALID));
    assert_ne!(socket.limits(), before, "this system sends several at once");
    socket.restore().expect("usable");
    assert_eq!(socket.limits(), before);
    transmit.destination.set_port(1);
    socket.send(&transmit).expect("sends as before");
}
