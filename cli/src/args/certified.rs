//! The certificates of a server.

use std::path::PathBuf;

use clap::Args;

/// Who a server is.
#[derive(Args, Clone, Debug)]
pub struct Certified {
    /// Certificate chain in PEM, leaf first; self-signed for localhost when absent (repeatable: a
    /// client gets the first that is for the name it asks for, else the first of all). SIGHUP has
    /// the files read again
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Vec<PathBuf>,
    /// Private key of the certificate in PEM (repeatable, one for each --cert)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Vec<PathBuf>,
    /// Write the certificate in use to this file as PEM
    #[arg(long, value_name = "FILE")]
    pub cert_out: Option<PathBuf>,
}

impl Certified {
    /// What clap cannot check: each certificate needs a key.
    pub fn check(&self) -> Result<(), String> {
        let (certs, keys) = (self.cert.len(), self.key.len());
        if certs != keys {
            return Err(format!(
                "{certs} times --cert need as many --key, not {keys}"
            ));
        }
        Ok(())
    }
}
