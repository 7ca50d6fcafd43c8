//! `--qlog DIR`: a file for the trace of each connection.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aqueduct_tokio::protocol::endpoint::QlogFactory;
use aqueduct_tokio::protocol::id::Side;

use crate::exit::{Context as _, Failure};

/// Opens a file in `folder`, which is made if need be, for each connection.
pub fn factory(folder: &Path) -> Result<Arc<QlogFactory>, Failure> {
    fs::create_dir_all(folder).doing(|| format!("cannot make `{}`", folder.display()))?;
    let folder = folder.to_owned();
    let begun = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let count = AtomicU64::new(0);
    Ok(Arc::new(move |side: Side, remote: SocketAddr| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        // Colons of IPv6 addresses are not for file names everywhere.
        let remote = remote.to_string().replace([':', '[', ']'], "_");
        let path = folder.join(format!("{begun}-{number}-{side}-{remote}.sqlog"));
        match File::create_new(&path) {
            Ok(file) => Some(Box::new(BufWriter::new(file)) as Box<dyn Write + Send + Sync>),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot write a trace");
                None
            }
        }
    }))
}
