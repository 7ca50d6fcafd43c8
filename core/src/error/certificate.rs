//! Why a certificate is not believed, in words that help.

use std::fmt;

use super::{CloseReason, TransportFailure};

/// Alerts of TLS that are about a certificate (RFC 8446 section 6.2), as codes of QUIC
/// (RFC 9001 section 4.8).
const ALERTS: &[(u64, CertificateFault)] = &[
    (0x12a, CertificateFault::Malformed),
    (0x12b, CertificateFault::OtherUse),
    (0x12c, CertificateFault::Revoked),
    (0x12d, CertificateFault::OtherTime),
    (0x12e, CertificateFault::Other),
    (0x130, CertificateFault::UnknownIssuer),
    (0x171, CertificateFault::Revoked),
    (0x174, CertificateFault::Missing),
];

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $words:literal, $help:literal;)*) => {
        /// Why one side did not believe the other's certificate.
        ///
        /// Shown, it says so in words, and after a semicolon what helps. The peer's alert
        /// tells less than what is found on this side.
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum CertificateFault {
            $($(#[$doc])* $name,)*
        }

        impl CertificateFault {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// What is wrong, without what helps.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// What helps.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$name => $help,)*
                }
            }
        }
    };
}

faults! {
    /// Nobody who is trusted has signed it.
    UnknownIssuer = "nobody who is trusted has signed the certificate",
        "trust its authority, the certificate itself, or its SHA-256 hash";
    /// It is none of those that are trusted by hash.
    OtherHash = "the certificate is none of those trusted by hash",
        "trust its SHA-256 hash, if it is the server's";
    /// It is an authority's, which may sign others and is no server's.
    Authority = "the certificate is an authority's and no server's",
        "trust that very certificate or its SHA-256 hash, or make one with basicConstraints CA:FALSE";
    /// Its time is over.
    Expired = "the certificate has expired",
        "renew it; if it is new, this clock may be wrong";
    /// Its time has not come.
    NotYetValid = "the certificate is not valid yet",
        "wait; if it is valid elsewhere, this clock may be wrong";
    /// It is too old or too new; which is not said.
    OtherTime = "the certificate is out of date, or not valid yet",
        "renew it; if it is new, a clock may be wrong";
    /// It is for other names.
    OtherName = "the certificate is for other names",
        "connect by one of its names, make one for this name, or trust its SHA-256 hash";
    /// It is for another use, such as clients.
    OtherUse = "the certificate is for another use",
        "make one that allows it (extendedKeyUsage serverAuth, clientAuth)";
    /// It was revoked, or nobody tells that it was not.
    Revoked = "the certificate is revoked, or nobody says that it is not",
        "get another one";
    /// Who showed it does not prove to have its key, or with a signature that is not
    /// known.
    Signature = "the signature of the certificate or of its owner is wrong or unknown",
        "see that the server has the key of its certificate, of a common kind";
    /// It cannot be read.
    Malformed = "the certificate cannot be read, or is not accepted",
        "make one of X.509 version 3";
    /// One is asked for and none was shown.
    Missing = "a certificate is asked for and none was shown",
        "configure one";
    /// Anything else.
    Other = "the certificate is not accepted",
        "trust its SHA-256 hash, if it is the server's";
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.words(), self.help())
    }
}

impl CloseReason {
    /// Why a certificate was not believed, if that ended the connection.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateFault> {
        match self {
            Self::Transport(failure) => failure.certificate(),
            _ => None,
        }
    }
}

impl TransportFailure {
    /// Why a certificate was not believed, if that is it: the peer's, which this side
    /// found wanting ([`Error`](Self::Error)), or ours, of which the peer said so
    /// ([`ClosedByPeer`](Self::ClosedByPeer)).
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateFault> {
        match self {
            Self::Error { code, reason } => {
                // Our own reasons begin with the words.
                let found = |fault: &&CertificateFault| reason.starts_with(fault.words());
                let fault = CertificateFault::ALL.iter().find(found);
                fault.copied().or_else(|| alert(*code))
            }
            Self::ClosedByPeer { code, .. } => alert(*code),
            _ => None,
        }
    }
}

fn alert(code: u64) -> Option<CertificateFault> {
    let alert = ALERTS.iter().find(|(alert, _)| *alert == code);
    alert.map(|(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_begin_with_others() {
        let all = CertificateFault::ALL;
        for (at, one) in all.iter().enumerate() {
            let alike = all
                .iter()
                .position(|other| one.words().starts_with(other.words()));
            assert_eq!(alike, Some(at), "{one:?}");
        }
    }

    #[test]
    fn an_alert_of_the_peer_is_a_fault_of_ours() {
        let closed = |code| {
            let reason = bytes::Bytes::new();
            CloseReason::Transport(TransportFailure::ClosedByPeer { code, reason }).certificate()
        };
        assert_eq!(closed(0x130), Some(CertificateFault::UnknownIssuer));
        assert_eq!(closed(0x174), Some(CertificateFault::Missing));
        assert_eq!(closed(0x178), None);
    }
}
