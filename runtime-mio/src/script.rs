//! Receive calls that fail.

use std::collections::VecDeque;
use std::io;

/// What receive calls do before they are made, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Script(pub(crate) VecDeque<i32>);

impl Script {
    pub(crate) fn recv(&mut self) -> io::Result<()> {
        match self.0.pop_front() {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(()),
        }
    }
}
