//! The server's certificates: read at the start, and again when that is asked for.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::args::Serve;
use crate::certificate::Claims;
use crate::exit::{Exit, Failure};
use crate::identity::Identity;
use crate::output::Output;

/// Those that are named, or one for localhost that signs itself; at least one.
pub(super) fn load(options: &Serve) -> Result<Vec<Identity>, Failure> {
    if options.cert.is_empty() {
        return Ok(vec![Identity::self_signed(SystemTime::now())?]);
    }
    let pairs = options.cert.iter().zip(&options.key);
    pairs.map(|(cert, key)| Identity::load(cert, key)).collect()
}

/// Writes the chains, without the keys, as PEM.
pub(super) fn write(identities: &[Identity], path: &Path) -> Result<(), Failure> {
    let pem: String = identities.iter().map(Identity::to_pem).collect();
    fs::write(path, pem).map_err(|error| {
        let what = format!("cannot write the certificate to `{}`", path.display());
        Failure::because(Exit::Failure, what, error)
    })
}

/// Why browsers do not take the first by its hash; empty when they do.
pub(super) fn unfit_for_browsers(identities: &[Identity]) -> Vec<String> {
    match identities.first().and_then(claims) {
        Some(claims) => claims.unfit_for_browsers(SystemTime::now()),
        None => vec!["it cannot be read".to_owned()],
    }
}

/// Warns of certificates that clients will not take. A hash is all that one that signs itself has to
/// offer to browsers, and all that the page at `page` can give them.
pub(super) fn warn(identities: &[Identity], page: bool, output: Output) {
    let now = SystemTime::now();
    for (at, identity) in identities.iter().enumerate() {
        let Some(claims) = claims(identity) else {
            continue;
        };
        let whose = match identities.len() {
            1 => "the certificate".to_owned(),
            _ => format!("the certificate for {}", claims.names()),
        };
        if let Some(why) = claims.untimely(now) {
            output.warning(&format!("clients will not trust {whose}: {why}"));
        } else if claims.self_issued || page && at == 0 {
            let why = claims.unfit_for_browsers(now);
            if !why.is_empty() {
                let why = why.join("; ");
                output.warning(&format!("browsers do not take {whose} by its hash: {why}"));
            }
        }
    }
}

fn claims(identity: &Identity) -> Option<Claims> {
    identity.chain().first().and_then(Claims::of)
}
