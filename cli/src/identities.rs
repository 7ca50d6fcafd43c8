//! A server's certificates: read at the start, and again when that is asked for.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use crate::args::Certified;
use crate::certificate::Claims;
use crate::exit::{Exit, Failure};
use crate::identity::{Fingerprints, Identity};
use crate::output::Output;
use crate::tls::Certificates;

/// The certificates in use.
#[derive(Debug)]
pub struct Identities {
    all: Vec<Identity>,
    tls: Certificates,
}

impl Identities {
    /// Those that are named, or one for localhost that signs itself; at least one.
    ///
    /// # Errors
    /// When one cannot be read or made.
    pub fn load(options: &Certified) -> Result<Self, Failure> {
        let all = read(options)?;
        let tls = Certificates::new(&all)?;
        Ok(Self { all, tls })
    }

    /// For TLS; what is read again is in it.
    pub fn tls(&self) -> &Certificates {
        &self.tls
    }

    /// Writes the chains, without the keys, as PEM, where that is asked for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, options: &Certified) -> Result<(), Failure> {
        match &options.cert_out {
            Some(path) => write(&self.all, path),
            None => Ok(()),
        }
    }

    /// Of the first.
    pub fn fingerprints(&self) -> Fingerprints {
        // Loading makes at least one.
        let first = self.all.first().map(Identity::fingerprints);
        first.expect("there is one")
    }

    /// Reads the files again, or makes a new certificate where there are none; whether the new ones
    /// are in use. Connections that are open stay as they are. If anything is wrong with the new
    /// ones, the old ones stay in use.
    pub fn reload(&mut self, options: &Certified, output: Output) -> bool {
        let loaded = read(options).and_then(|all| {
            self.tls.replace(&all)?;
            Ok(all)
        });
        match loaded {
            Ok(all) => self.all = all,
            Err(failure) => {
                output.warning(&format!("the certificates stay as they were: {failure}"));
                return false;
            }
        }
        if let Err(failure) = self.publish(options) {
            output.warning(&failure.to_string());
        }
        true
    }

    /// Tells that new ones are in use.
    pub fn tell_reloaded(&self, output: Output) {
        let print = self.fingerprints().certificate;
        let text = format!("certificates read again, SHA-256 {}", print.to_hex());
        // A reader that has gone away is no reason to stop serving.
        let _ = output.result("reloaded", &text, json!({ "sha256": print.to_hex() }));
    }

    /// Why browsers do not take the first by its hash; empty when they do.
    pub fn unfit_for_browsers(&self) -> Vec<String> {
        match self.all.first().and_then(claims) {
            Some(claims) => claims.unfit_for_browsers(SystemTime::now()),
            None => vec!["it cannot be read".to_owned()],
        }
    }

    /// Warns of certificates that clients will not take. A hash is all that one that signs itself
    /// has to offer to browsers, and all that the page, if there is one, can give them.
    pub fn warn(&self, page: bool, output: Output) {
        let now = SystemTime::now();
        for (at, identity) in self.all.iter().enumerate() {
            let Some(claims) = claims(identity) else {
                continue;
            };
            let whose = match self.all.len() {
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
}

fn read(options: &Certified) -> Result<Vec<Identity>, Failure> {
    if options.cert.is_empty() {
        return Ok(vec![Identity::self_signed(SystemTime::now())?]);
    }
    let pairs = options.cert.iter().zip(&options.key);
    pairs.map(|(cert, key)| Identity::load(cert, key)).collect()
}

fn write(identities: &[Identity], path: &Path) -> Result<(), Failure> {
    let pem: String = identities.iter().map(Identity::to_pem).collect();
    fs::write(path, pem).map_err(|error| {
        let what = format!("cannot write the certificate to `{}`", path.display());
        Failure::because(Exit::Failure, what, error)
    })
}

fn claims(identity: &Identity) -> Option<Claims> {
    identity.chain().first().and_then(Claims::of)
}
