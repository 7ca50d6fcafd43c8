//! `--reset-key FILE`: the key of stateless resets, which outlives the process.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::exit::{Context as _, Exit, Failure};
use crate::identity::Sha256Digest;
use crate::tls;

/// The least that a file has to hold, in bytes: as much as the key.
const LEAST: usize = 32;

/// The key that the file stands for. A file that is not there is made, for its owner alone.
pub(super) fn read(path: &Path) -> Result<[u8; 32], Failure> {
    let doing = || format!("cannot keep the key of resets in `{}`", path.display());
    let secret = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).doing(doing)?,
        read => read.doing(doing)?,
    };
    if secret.len() < LEAST {
        let what = format!(
            "{}: it has {} bytes, not {LEAST} at least",
            doing(),
            secret.len()
        );
        return Err(Failure::new(Exit::Failure, what));
    }
    // Text is as good as bytes then.
    Ok(Sha256Digest::of(&secret).0)
}

fn make(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = vec![0; LEAST];
    let random = tls::provider().secure_random;
    let filled = random.fill(&mut secret);
    filled.map_err(|_| io::Error::other("the system has no random bytes"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = read(&path).unwrap();
        assert_eq!(read(&path).unwrap(), key);
        assert_ne!(read(&folder.path().join("other")).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&path, "short").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("it has 5 bytes, not 32 at least"),
            "{error}"
        );
    }
}
