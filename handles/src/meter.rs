//! Who counts the datagrams of a connection, if anybody does.

use std::fmt;
use std::sync::Arc;

use aqueduct_core::stats::Stats;

/// Called with no lock held.
pub(crate) trait Meter: fmt::Debug + Send + Sync {
    /// So many were sent, with so many bytes together.
    fn sent(&self, count: usize, bytes: usize);

    /// So many were taken by the application.
    fn received(&self, count: usize, bytes: usize);

    /// What the connection has counted by now: those that were dropped are told of once.
    fn dropped(&self, stats: &Stats);
}

/// A connection's, and that of its datagrams' handles.
pub(crate) type Metered = Option<Arc<dyn Meter>>;
