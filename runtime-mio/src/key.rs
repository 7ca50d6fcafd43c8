//! Names of ports.

/// Names a port among [`Ports`](crate::Ports); never used again for another one.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct PortKey {
    pub(crate) index: usize,
    pub(crate) serial: u64,
}
