//! What DNS says of an origin beside its addresses (RFC 9460).

use std::net::IpAddr;
use std::task::{Context, Poll, ready};

use aqueduct_core::pool::{Alternative, HttpsRecord, Origin, Route};

use super::runtime::{Resolve, ResolvingHttps};

/// Aliases that are followed, one after another: they may lead in circles.
const ALIASES: usize = 8;

/// The HTTPS records of an origin, while they are looked up.
pub(super) struct Services {
    looking: Option<ResolvingHttps>,
    /// Where an alias has led.
    name: Option<Box<str>>,
    aliases: usize,
}

impl Services {
    pub(super) fn new(resolver: Option<&dyn Resolve>, origin: &Origin) -> Self {
        let is_name = origin.host().parse::<IpAddr>().is_err();
        let resolver = resolver.filter(|_| is_name);
        Self {
            looking: resolver.and_then(|resolver| resolver.https(&question(origin))),
            name: None,
            aliases: 0,
        }
    }

    /// Whether there may be more places than are known.
    pub(super) fn are_awaited(&self) -> bool {
        self.looking.is_some()
    }

    /// The places that they name, once.
    pub(super) fn poll(
        &mut self,
        resolver: Option<&dyn Resolve>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) -> Poll<Vec<Route>> {
        while let Some(looking) = &mut self.looking {
            let answer = ready!(looking.as_mut().poll(cx));
            self.looking = None;
            let records = answer.unwrap_or_else(|error| {
                tracing::debug!(%origin, %error, "no HTTPS records");
                Vec::new()
            });
            //= https://www.rfc-editor.org/rfc/rfc9460#section-2.4.2
            // An alias leads to the records of another name.
            let Some(alias) = HttpsRecord::alias(&records) else {
                return Poll::Ready(self.routes(origin, &records));
            };
            if self.aliases == ALIASES {
                tracing::debug!(%origin, alias, "too many aliases");
                return Poll::Ready(Vec::new());
            }
            self.aliases += 1;
            self.looking = resolver.and_then(|resolver| resolver.https(alias));
            self.name = Some(alias.into());
            if self.looking.is_none() {
                return Poll::Ready(self.routes(origin, &[]));
            }
        }
        Poll::Pending
    }

    fn routes(&self, origin: &Origin, records: &[HttpsRecord]) -> Vec<Route> {
        let none: [&Alternative; 0] = [];
        Route::all(origin, none, records, self.name.as_deref())
    }
}

//= https://www.rfc-editor.org/rfc/rfc9460#section-9.1
/// The name whose records are those of the origin.
fn question(origin: &Origin) -> String {
    match origin.port() {
        443 => origin.host().into(),
        port => format!("_{port}._https.{}", origin.host()),
    }
}
