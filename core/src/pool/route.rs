//! Where an origin may be served, in the order in which it is tried.

use std::net::IpAddr;

use super::Origin;
use super::alt_svc::Alternative;
use super::https::HttpsRecord;
use super::plan::MAX_ROUTES;

/// A host and a port at which an origin may be served. Whichever it is, the certificate
/// has to be the origin's (RFC 7838 §2.1, RFC 9460 §9), and `:authority` is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Route {
    /// To be resolved: a name or an address, with a zone if it has one.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Who says so.
    pub via: Via,
    /// Addresses to begin with before the host is resolved.
    pub hints: Vec<IpAddr>,
}

/// Who says that an origin is served somewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Via {
    /// The origin itself, in its `alt-svc` field.
    AltSvc(Alternative),
    /// DNS, in a record of this priority.
    Https(u16),
    /// Nobody: it is the origin's own place.
    Origin,
}

impl Route {
    /// The origin's own place.
    #[must_use]
    pub fn origin(origin: &Origin) -> Self {
        let host = match origin.zone() {
            Some(zone) => format!("{}%{zone}", origin.host()).into(),
            None => origin.host().into(),
        };
        Self {
            host,
            port: origin.port(),
            via: Via::Origin,
            hints: Vec::new(),
        }
    }

    /// The places of an origin: what it says itself, what DNS says, and its own. Each
    /// host and port is there once, for the first reason. They are at most [`MAX_ROUTES`],
    /// the origin's own among them: nobody can name so many others that it is not tried.
    ///
    /// `records` are all the HTTPS records of one name: the origin's, or `name` if an
    /// alias led there ([`HttpsRecord::alias`]), which takes the place of the origin's host
    /// then. O(n²) of the few that there are.
    #[must_use]
    pub fn all<'a>(
        origin: &Origin,
        alternatives: impl IntoIterator<Item = &'a Alternative>,
        records: &[HttpsRecord],
        name: Option<&str>,
    ) -> Vec<Self> {
        let mut routes: Vec<Self> = Vec::new();
        let mut add = |route: Self| {
            let is_new = |one: &Self| (&one.host, one.port) != (&route.host, route.port);
            let most = match route.via {
                Via::Origin => MAX_ROUTES,
                _ => MAX_ROUTES - 1,
            };
            if routes.len() < most && routes.iter().all(is_new) {
                routes.push(route);
            }
        };
        let mut own = Self::origin(origin);
        for alternative in alternatives.into_iter().filter(|one| one.is_h3()) {
            add(Self {
                host: match &alternative.host {
                    Some(host) => host.clone(),
                    None => own.host.clone(),
                },
                port: alternative.port,
                via: Via::AltSvc(alternative.clone()),
                hints: Vec::new(),
            });
        }
        if let Some(name) = name {
            own.host = name.into();
        }
        //= https://www.rfc-editor.org/rfc/rfc9460#section-2.4.1
        // An alias beside services makes them count for nothing.
        let services = records
            .iter()
            .filter(|_| HttpsRecord::alias(records).is_none());
        let mut services: Vec<_> = services.filter(|record| record.is_h3()).collect();
        services.sort_by_key(|record| record.priority);
        for record in services {
            add(Self {
                host: record.target.clone().unwrap_or_else(|| own.host.clone()),
                port: record.port.unwrap_or(own.port),
                via: Via::Https(record.priority),
                hints: record.hints.clone(),
            });
        }
        add(own);
        routes
    }
}

impl HttpsRecord {
    /// The name whose records are to be asked for instead, if there is an alias among
    /// those of a name (RFC 9460 §2.4.2). Whoever follows it counts the steps: an alias
    /// may lead in circles.
    #[must_use]
    pub fn alias(records: &[Self]) -> Option<&str> {
        let mut aliases = records.iter().filter(|record| record.is_alias());
        aliases.find_map(|record| record.target.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, target: Option<&str>, alpn: &str) -> HttpsRecord {
        let mut rdata = priority.to_be_bytes().to_vec();
        if let Some(label) = target {
            rdata.push(label.len() as u8);
            rdata.extend(label.bytes());
        }
        rdata.push(0);
        if priority > 0 {
            rdata.extend([0, 1, 0, alpn.len() as u8 + 1, alpn.len() as u8]);
            rdata.extend(alpn.bytes());
        }
        HttpsRecord::parse(&rdata).expect("a record")
    }

    fn shown(routes: &[Route]) -> Vec<String> {
        let show = |route: &Route| format!("{}:{}", route.host, route.port);
        routes.iter().map(show).collect()
    }

    /// Row D18: what the origin says comes first, what DNS says by its priority, and the
    /// origin's own place last.
    #[test]
    fn routes_stand_in_order_and_once() {
        let origin: Origin = "https://a.example:444".parse().expect("an origin");
        let alternatives = [
            Alternative::h3(8443),
            Alternative::h3(443).host("alt.example"),
            Alternative::h3(8443),
        ];
        let records = [
            record(9, Some("late"), "h3"),
            record(1, Some("early"), "h3"),
            record(2, None, "h3"),
            record(3, Some("other"), "h2"),
        ];
        let routes = Route::all(&origin, &alternatives, &records, None);
        assert_eq!(
            shown(&routes),
            [
                "a.example:8443",
                "alt.example:443",
                "early:444",
                "a.example:444",
                "late:444"
            ]
        );
        assert_eq!(routes[0].via, Via::AltSvc(Alternative::h3(8443)));
        assert_eq!(routes[3].via, Via::Https(2), "the origin's own place, once");
        let none: [&Alternative; 0] = [];
        let plain = Route::all(&origin, none, &[], None);
        assert_eq!(plain, [Route::origin(&origin)]);
    }

    #[test]
    fn the_origins_own_place_is_among_the_routes_however_many_there_are() {
        let origin: Origin = "https://a.example:444".parse().expect("an origin");
        let elsewhere: Vec<_> = (1..100).map(Alternative::h3).collect();
        let here: Vec<_> = (elsewhere.iter().cloned())
            .chain([Alternative::h3(444)])
            .collect();
        for alternatives in [elsewhere, here] {
            let routes = Route::all(&origin, &alternatives, &[], None);
            assert_eq!(routes.len(), MAX_ROUTES);
            assert_eq!(routes.last(), Some(&Route::origin(&origin)));
        }
    }

    #[test]
    fn an_alias_makes_services_beside_it_count_for_nothing() {
        let origin: Origin = "https://a.example".parse().expect("an origin");
        let records = [
            record(1, Some("service"), "h3"),
            record(0, Some("alias"), ""),
        ];
        assert_eq!(HttpsRecord::alias(&records), Some("alias"));
        let none: [&Alternative; 0] = [];
        assert_eq!(
            shown(&Route::all(&origin, none, &records, None)),
            ["a.example:443"]
        );
        let followed = [record(1, None, "h3")];
        let routes = Route::all(&origin, none, &followed, Some("alias"));
        assert_eq!(shown(&routes), ["alias:443"]);
        // No target: there is no such service, and nothing to follow.
        assert_eq!(HttpsRecord::alias(&[record(0, None, "")]), None);
    }

    #[test]
    fn a_zone_is_part_of_where_an_address_is() {
        let origin: Origin = "https://[fe80::1%25eth0]:1".parse().expect("an origin");
        assert_eq!(&*Route::origin(&origin).host, "fe80::1%eth0");
    }
}
