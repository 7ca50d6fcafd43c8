//! What a probe tells of the server's certificate.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::certificate::{Claims, date};
use crate::identity::Fingerprints;
use crate::tls::Objection;

/// The certificate that the server showed, and what was made of it.
#[derive(Debug)]
pub(super) struct Certificate {
    /// How many there were in the chain.
    pub(super) count: usize,
    pub(super) fingerprints: Option<Fingerprints>,
    pub(super) claims: Option<Claims>,
    /// Whether anybody looked at it.
    pub(super) judged: bool,
    pub(super) objection: Option<Objection>,
}

impl Certificate {
    /// Names and values of lines.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(prints) = &self.fingerprints {
            let more = match self.count {
                1 => String::new(),
                count => format!(" (the first of {count})"),
            };
            lines.push((
                "certificate",
                format!("SHA-256 {}{more}", prints.certificate.to_hex()),
            ));
        }
        if let Some(claims) = &self.claims {
            let (from, to) = (date(claims.not_before), date(claims.not_after));
            lines.push(("", format!("for {}, from {from} to {to}", claims.names())));
        }
        lines.push(("trusted", self.trusted()));
        if let Some(claims) = &self.claims {
            let why = claims.unfit_for_browsers(SystemTime::now());
            let would = match why.is_empty() {
                true => "yes".to_owned(),
                false => format!("no: {}", why.join("; ")),
            };
            lines.push(("hash in page", would));
        }
        lines
    }

    fn trusted(&self) -> String {
        match &self.objection {
            Some(Objection { why, help }) => format!("no: {why} ({help})"),
            None if self.judged => "yes".to_owned(),
            None => "not asked (--insecure)".to_owned(),
        }
    }

    /// The same as an object.
    pub(super) fn to_json(&self) -> Value {
        let claims = self.claims.as_ref();
        let unfit = claims.map(|claims| claims.unfit_for_browsers(SystemTime::now()));
        json!({
            "trusted": self.judged.then_some(self.objection.is_none()),
            "objection": self.objection.as_ref().map(|objection| &objection.why),
            "names": claims.map(|claims| &claims.names),
            "not_before": claims.map(|claims| date(claims.not_before).to_string()),
            "not_after": claims.map(|claims| date(claims.not_after).to_string()),
            "browser_by_hash": unfit.as_ref().map(Vec::is_empty),
            "browser_objections": unfit,
        })
    }
}
