//! A session at a URL, asked for as the command line says.

use aqueduct_tokio::Session;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use http::{HeaderName, HeaderValue};

use super::{Client, session_failed};
use crate::args::{Connect, Target, WebTransport};
use crate::exit::{Exit, Failure};

impl Client {
    /// Opens a session, within the time that connecting may take.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn open_session(
        &self,
        url: &Target,
        fields: &[(HeaderName, HeaderValue)],
        webtransport: &WebTransport,
        connect: &Connect,
    ) -> Result<Session, Failure> {
        let mut request = ConnectRequest::new(url.uri().clone());
        request.protocols.clone_from(&webtransport.protocols);
        for (name, value) in fields {
            request.headers.append(name, value.clone());
        }
        let doing = || format!("cannot open a session at {url}");
        let limit = connect.connect_timeout;
        let opened = tokio::time::timeout(limit, self.connection.open_session(request)).await;
        match opened {
            Ok(opened) => opened.map_err(|error| session_failed(doing(), error)),
            Err(_) => {
                let limit = crate::units::duration(limit);
                let what = format!("{}: no answer within {limit}", doing());
                Err(Failure::new(Exit::Failure, what))
            }
        }
    }
}
