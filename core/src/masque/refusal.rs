//! Every reason for which there is no tunnel, with its answer.

use http::header::{ALLOW, CONTENT_TYPE, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sfv::{KeyRef, ListSerializer, StringRef, TokenRef};

use super::{Denied, PROXY_STATUS, TargetError};
use crate::head::ResponseHead;

/// Why a request gets no tunnel.
///
/// Each has its status and its error of Proxy-Status (RFC 9209):
///
/// | reason | status | error |
/// |---|---|---|
/// | `BadMethod` | 405 | `http_request_error` |
/// | `BadProtocol` | 501 | `http_request_error` |
/// | `BadPath` | 404 | `http_request_error` |
/// | `BadPort`, `BadHost`, `Malformed` | 400 | `http_request_error` |
/// | `NotAuthorized` | 401 | `http_request_denied` |
/// | `ProxyNotAuthorized` | 407 | `http_request_denied` |
/// | `Forbidden` | 403 | `http_request_denied` |
/// | `TargetProhibited` | 403 | `destination_ip_prohibited` |
/// | `Draining` | 503 | `proxy_internal_response` |
/// | `TooManyTunnels`, `Exhausted` | 503 | `connection_limit_reached` |
/// | `ResolutionFailed` | 502 | `dns_error` |
/// | `ResolutionTimeout` | 504 | `dns_timeout` |
/// | `Refused` | 502 | `connection_refused` |
/// | `Unroutable` | 502 | `destination_ip_unroutable` |
/// | `Unavailable` | 503 | `destination_unavailable` |
/// | `ConnectTimeout`, `StartTimeout` | 504 | `connection_timeout` |
/// | `Internal` | 500 | `proxy_internal_error` |
/// | `LoopDetected` | 508 | `proxy_loop_detected` |
/// | `Other` | its own; 502 if that is no error | none |
///
/// Where the error says too little, `details` is [`Self::reason`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The method is not CONNECT.
    BadMethod,
    /// `:protocol` is none that the proxy speaks.
    BadProtocol,
    /// The path is of no template, or scheme or authority are missing.
    BadPath,
    /// The target's port is none.
    BadPort,
    /// The target's host is none.
    BadHost,
    /// The request breaks some other rule.
    Malformed,
    /// The client has not said who it is, or not truly.
    NotAuthorized {
        /// How it can: values of `www-authenticate`.
        challenges: Vec<HeaderValue>,
    },
    /// The same of classic CONNECT.
    ProxyNotAuthorized {
        /// How it can: values of `proxy-authenticate`.
        challenges: Vec<HeaderValue>,
    },
    /// The client may not have a tunnel.
    Forbidden,
    /// There is no tunnel to this target.
    TargetProhibited(Denied),
    /// The proxy takes no new tunnels.
    Draining,
    /// There are as many tunnels as there may be, of the client or of all.
    TooManyTunnels,
    /// The proxy has no socket left for it, or no memory.
    Exhausted,
    /// The target's name does not resolve.
    ResolutionFailed {
        /// DNS's own word for it, such as `NXDOMAIN`.
        rcode: Option<Box<str>>,
    },
    /// The resolver did not answer in time.
    ResolutionTimeout,
    /// The target refused the connection.
    Refused,
    /// There is no route to the target.
    Unroutable,
    /// The target cannot be used at the moment.
    Unavailable,
    /// The target did not answer in time.
    ConnectTimeout,
    /// The tunnel was not up in time, whatever it waited for.
    StartTimeout,
    /// The proxy failed.
    Internal,
    /// The request came through this proxy before.
    LoopDetected,
    /// A reason of the application's own, with a status from 400 to 599.
    Other(StatusCode),
}

impl Refusal {
    /// The status of the answer, from 400 to 599.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadProtocol => StatusCode::NOT_IMPLEMENTED,
            Self::BadPath => StatusCode::NOT_FOUND,
            Self::BadPort | Self::BadHost | Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotAuthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::ProxyNotAuthorized { .. } => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Forbidden | Self::TargetProhibited(_) => StatusCode::FORBIDDEN,
            Self::Draining | Self::TooManyTunnels | Self::Exhausted | Self::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ResolutionFailed { .. } | Self::Refused | Self::Unroutable => {
                StatusCode::BAD_GATEWAY
            }
            Self::ResolutionTimeout | Self::ConnectTimeout | Self::StartTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::Other(status) if (400..600).contains(&status.as_u16()) => *status,
            Self::Other(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The word of RFC 9209 §2.3 for it; none for a reason of the application's own.
    #[must_use]
    pub fn proxy_error(&self) -> Option<&'static str> {
        Some(match self {
            Self::BadMethod | Self::BadProtocol | Self::BadPath => "http_request_error",
            Self::BadPort | Self::BadHost | Self::Malformed => "http_request_error",
            Self::NotAuthorized { .. } | Self::ProxyNotAuthorized { .. } | Self::Forbidden => {
                "http_request_denied"
            }
            Self::TargetProhibited(_) => "destination_ip_prohibited",
            Self::Draining => "proxy_internal_response",
            Self::TooManyTunnels | Self::Exhausted => "connection_limit_reached",
            Self::ResolutionFailed { .. } => "dns_error",
            Self::ResolutionTimeout => "dns_timeout",
            Self::Refused => "connection_refused",
            Self::Unroutable => "destination_ip_unroutable",
            Self::Unavailable => "destination_unavailable",
            Self::ConnectTimeout | Self::StartTimeout => "connection_timeout",
            Self::Internal => "proxy_internal_error",
            Self::LoopDetected => "proxy_loop_detected",
            Self::Other(_) => return None,
        })
    }

    /// The reason in words, for the content of the answer. Says nothing of what names
    /// resolve to.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadMethod => "a tunnel is asked for with CONNECT",
            Self::BadProtocol => "this proxy does not speak the protocol asked for",
            Self::BadPath => "there is no tunnel at this path",
            Self::BadPort => "the target's port is not a number from 1 to 65535",
            Self::BadHost => "the target's host is neither a name nor an address",
            Self::Malformed => "the request is malformed",
            Self::NotAuthorized { .. } | Self::ProxyNotAuthorized { .. } => {
                "this proxy wants to know who asks"
            }
            Self::Forbidden => "no tunnels for this client",
            Self::TargetProhibited(_) => "this target is not allowed",
            Self::Draining => "this proxy takes no new tunnels",
            Self::TooManyTunnels => "too many tunnels",
            Self::Exhausted => "this proxy has no sockets left",
            Self::ResolutionFailed { .. } => "the target's name does not resolve",
            Self::ResolutionTimeout => "the target's name did not resolve in time",
            Self::Refused => "the target refused the connection",
            Self::Unroutable => "there is no route to the target",
            Self::Unavailable => "the target is not available",
            Self::ConnectTimeout => "the target did not answer in time",
            Self::StartTimeout => "the tunnel was not ready in time",
            Self::Internal => "the proxy failed",
            Self::LoopDetected => "the request came through this proxy before",
            Self::Other(_) => "no tunnel",
        }
    }

    /// The answer's head, with `proxy-status` of a proxy of this name; `masque` in the
    /// place of a name that can be neither a Token nor a String of structured fields.
    /// [`Self::reason`] may follow as content.
    #[must_use]
    pub fn head(&self, name: &str) -> ResponseHead {
        let mut head = ResponseHead::new(self.status());
        let headers = &mut head.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if let Ok(value) = HeaderValue::try_from(self.proxy_status(name)) {
            headers.insert(PROXY_STATUS, value);
        }
        match self {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
            // With 405 goes the list of the methods that are allowed.
            Self::BadMethod => {
                headers.insert(ALLOW, HeaderValue::from_static("CONNECT"));
            }
            //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
            // With 401 goes at least one challenge.
            Self::NotAuthorized { challenges } => {
                for challenge in challenges {
                    headers.append(WWW_AUTHENTICATE, challenge.clone());
                }
            }
            //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.8
            // And with 407.
            Self::ProxyNotAuthorized { challenges } => {
                for challenge in challenges {
                    headers.append(PROXY_AUTHENTICATE, challenge.clone());
                }
            }
            _ => {}
        }
        head
    }

    fn proxy_status(&self, name: &str) -> String {
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2
        // A list, of which each member is a String or Token that names an intermediary.
        let mut list = ListSerializer::new();
        let mut item = named(&mut list, name);
        let error = self.proxy_error().map(TokenRef::from_str);
        if let Some(Ok(error)) = error {
            item = item.parameter(KeyRef::constant("error"), error);
        }
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2.3.2
        // `rcode` is a String, the code that DNS gave.
        if let Self::ResolutionFailed { rcode: Some(rcode) } = self
            && let Ok(rcode) = StringRef::from_str(rcode)
        {
            item = item.parameter(KeyRef::constant("rcode"), rcode);
        }
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.5
        // `details` is a String, of what the error alone does not say.
        if matches!(self, Self::Draining | Self::Exhausted | Self::StartTimeout)
            && let Ok(details) = StringRef::from_str(self.reason())
        {
            item = item.parameter(KeyRef::constant("details"), details);
        }
        let _ = item.finish();
        list.finish().unwrap_or_default()
    }
}

/// A proxy's name as the next member of a list; `masque` in the place of one that is none.
pub(super) fn named<'a, T: std::borrow::BorrowMut<String>>(
    list: &'a mut ListSerializer<T>,
    name: &str,
) -> sfv::ParameterSerializer<&'a mut String> {
    match (TokenRef::from_str(name), StringRef::from_str(name)) {
        (Ok(token), _) => list.bare_item(token),
        (_, Ok(text)) if !name.is_empty() => list.bare_item(text),
        _ => list.bare_item(TokenRef::constant("masque")),
    }
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Host => Self::BadHost,
            TargetError::Port => Self::BadPort,
            TargetError::Encoding => Self::Malformed,
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::TargetProhibited(denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masque::SpecialRange;

    fn proxy_status(refusal: &Refusal, name: &str) -> String {
        let head = refusal.head(name);
        let value = head.headers.get(PROXY_STATUS).expect("always there");
        value.to_str().expect("text").to_owned()
    }

    fn no_name(rcode: Option<&str>) -> Refusal {
        Refusal::ResolutionFailed {
            rcode: rcode.map(Into::into),
        }
    }

    // Row C1: the status map, each with Proxy-Status.
    #[test]
    fn every_reason_has_its_status_and_word() {
        let other = |status| Refusal::Other(StatusCode::from_u16(status).expect("a status"));
        let challenges = Vec::new();
        for (refusal, status, error) in [
            (Refusal::BadMethod, 405, "http_request_error"),
            (Refusal::BadProtocol, 501, "http_request_error"),
            (Refusal::BadPath, 404, "http_request_error"),
            (Refusal::BadPort, 400, "http_request_error"),
            (Refusal::BadHost, 400, "http_request_error"),
            (Refusal::Malformed, 400, "http_request_error"),
            (
                Refusal::NotAuthorized { challenges },
                401,
                "http_request_denied",
            ),
            (Refusal::Forbidden, 403, "http_request_denied"),
            (Denied::Rule.into(), 403, "destination_ip_prohibited"),
            (Denied::Own.into(), 403, "destination_ip_prohibited"),
            (Refusal::Draining, 503, "proxy_internal_response"),
            (Refusal::TooManyTunnels, 503, "connection_limit_reached"),
            (Refusal::Exhausted, 503, "connection_limit_reached"),
            (no_name(None), 502, "dns_error"),
            (Refusal::ResolutionTimeout, 504, "dns_timeout"),
            (Refusal::Refused, 502, "connection_refused"),
            (Refusal::Unroutable, 502, "destination_ip_unroutable"),
            (Refusal::Unavailable, 503, "destination_unavailable"),
            (Refusal::ConnectTimeout, 504, "connection_timeout"),
            (Refusal::StartTimeout, 504, "connection_timeout"),
            (Refusal::Internal, 500, "proxy_internal_error"),
            (Refusal::LoopDetected, 508, "proxy_loop_detected"),
            (other(400), 400, ""),
            (other(599), 599, ""),
            (other(399), 502, ""),
            (other(600), 502, ""),
        ] {
            let head = refusal.head("masque");
            assert_eq!(
                (head.status.as_u16(), head.status),
                (status, refusal.status())
            );
            assert_eq!(
                head.headers.get(CONTENT_TYPE).expect("for the reason"),
                "text/plain"
            );
            let stated = match error {
                "" => "masque".to_owned(),
                error => format!("masque;error={error}"),
            };
            let status = proxy_status(&refusal, "masque");
            let (said, details) = status.split_once(";details=").unwrap_or((&status, ""));
            assert_eq!(said, stated, "{refusal:?}");
            let more = matches!(
                refusal,
                Refusal::Draining | Refusal::Exhausted | Refusal::StartTimeout
            );
            let reason = format!("\"{}\"", refusal.reason());
            assert_eq!(details, if more { &reason } else { "" });
            assert_eq!(refusal.proxy_error().unwrap_or(""), error);
            assert!(!refusal.reason().is_empty());
        }
    }

    #[test]
    fn what_dns_said_goes_along() {
        let refusal = no_name(Some("NXDOMAIN"));
        assert_eq!(
            proxy_status(&refusal, "p"),
            "p;error=dns_error;rcode=\"NXDOMAIN\""
        );
        assert_eq!(proxy_status(&no_name(Some("é")), "p"), "p;error=dns_error");
    }

    #[test]
    fn a_proxy_has_a_name_that_fits() {
        for (name, shown) in [
            ("proxy.example:443", "proxy.example:443"),
            ("8 \"proxies\"", "\"8 \\\"proxies\\\"\""),
            ("", "masque"),
            ("é", "masque"),
            ("a\r\nset-cookie: x", "masque"),
        ] {
            let stated = format!("{shown};error=connection_refused");
            assert_eq!(proxy_status(&Refusal::Refused, name), stated, "{name}");
        }
    }

    #[test]
    fn some_answers_have_fields_of_their_own() {
        let challenges = vec![
            HeaderValue::from_static("Bearer"),
            HeaderValue::from_static("Basic realm=\"p\""),
        ];
        let head = Refusal::NotAuthorized { challenges }.head("p");
        let stated: Vec<_> = head.headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(stated, ["Bearer", "Basic realm=\"p\""]);
        assert_eq!(
            Refusal::BadMethod
                .head("p")
                .headers
                .get(ALLOW)
                .expect("405"),
            "CONNECT"
        );
    }

    #[test]
    fn reasons_follow_from_errors_and_say_nothing_of_the_inside() {
        assert_eq!(Refusal::from(TargetError::Host), Refusal::BadHost);
        assert_eq!(Refusal::from(TargetError::Port), Refusal::BadPort);
        assert_eq!(Refusal::from(TargetError::Encoding), Refusal::Malformed);
        // Which range a name leads to is not for a stranger to know.
        let private = Refusal::from(Denied::Special(SpecialRange::Private));
        let ruled = Refusal::from(Denied::Rule);
        assert_eq!(
            (private.reason(), private.head("p")),
            (ruled.reason(), ruled.head("p"))
        );
    }
}
