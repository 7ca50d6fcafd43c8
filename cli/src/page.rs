//! The single page to try WebTransport from a browser, and the plain HTTP server behind `--page`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::identity::Sha256Digest;

const HTML: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/style.css");
const SCRIPT: &str = include_str!("../page/app.js");

/// Connections open at once; a page in a browser needs one or two.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections get to finish after the shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What the page must know about the WebTransport server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host of the session's URL, with brackets around an IPv6 address; the page's own when `None`.
    pub host: Option<String>,
    /// UDP port.
    pub port: u16,
    /// Path of a session that echoes.
    pub path: &'static str,
    /// Digest of the certificate, if browsers would not trust it otherwise. They accept one by its
    /// digest only when it is ECDSA P-256 and valid for at most 14 days.
    pub certificate: Option<Sha256Digest>,
}

/// The page, ready to be sent.
#[derive(Clone, Debug)]
pub struct Page {
    html: Bytes,
    fields: HeaderMap,
}

impl Page {
    /// Fills the page in. O(its size, about 40 KiB).
    pub fn new(server: &Server) -> Self {
        let config = json!({
            "host": server.host,
            "port": server.port,
            "path": server.path,
            "hash": server.certificate.map(Sha256Digest::to_base64),
            "version": env!("CARGO_PKG_VERSION"),
        });
        // Within a script element only `<` could end it early; JSON may escape it.
        let config = config.to_string().replace('<', "\\u003c");
        let html = HTML
            .replace("<!--STYLE-->", STYLE)
            .replace("<!--CONFIG-->", &config)
            .replace("<!--SCRIPT-->", SCRIPT);

        // Only the page's own style and script run, and nothing is loaded from elsewhere.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             connect-src https:; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            Sha256Digest::of(STYLE.as_bytes()).to_base64(),
            Sha256Digest::of(SCRIPT.as_bytes()).to_base64(),
        );
        let mut fields = HeaderMap::new();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        fields.insert(header::CONTENT_LENGTH, html.len().into());
        // The digest in it is that of one run of the server.
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        // Together these make a browser give the page its finest clock, for the round trips.
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
        ] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        fields.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        if let Ok(policy) = HeaderValue::try_from(policy) {
            fields.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        Self {
            html: html.into(),
            fields,
        }
    }

    /// The document.
    pub fn html(&self) -> Bytes {
        self.html.clone()
    }

    /// The fields to send with it, over any version of HTTP.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let plain = |status: StatusCode| {
            let mut response = Response::new(Full::from(format!("{status}\n")));
            *response.status_mut() = status;
            response
        };
        match (method, path) {
            (&Method::GET, "/" | "/index.html") => {
                let mut response = Response::new(Full::new(self.html()));
                *response.headers_mut() = self.fields.clone();
                response
            }
            (&Method::HEAD, "/" | "/index.html") => {
                let mut response = Response::new(Full::default());
                *response.headers_mut() = self.fields.clone();
                response
            }
            (&Method::GET | &Method::HEAD, _) => plain(StatusCode::NOT_FOUND),
            _ => {
                let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
                let allow = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(header::ALLOW, allow);
                response
            }
        }
    }
}

/// Serves the page over HTTP/1.1 until `shutdown` ends, then lets open connections finish their
/// request for a moment. Dropping the future closes everything at once.
pub async fn serve(listener: TcpListener, page: Page, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let (stop, _) = tokio::sync::watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        let socket = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if !full => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: others may end meanwhile.
                    tracing::warn!(%error, "cannot accept a connection for the page");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let page = page.clone();
        let mut stopped = stop.subscribe();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = page.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(socket), service)
            );
            let ended = tokio::select! {
                ended = &mut connection => ended,
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection for the page failed");
            }
        });
    }
    drop(listener);
    drop(stop);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
        tracing::debug!("closing connections for the page that did not finish");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    fn page() -> Page {
        Page::new(&Server {
            host: Some("</script>".to_owned()),
            port: 4433,
            path: "/echo",
            certificate: Some(Sha256Digest::of(b"abc")),
        })
    }

    #[test]
    fn the_page_is_whole_and_its_configuration_cannot_break_out() {
        let page = page();
        let html = String::from_utf8(page.html().to_vec()).unwrap();
        for mark in [
            "<!--STYLE-->",
            "<!--CONFIG-->",
            "<!--SCRIPT-->",
            "\"</script>\"",
        ] {
            assert!(!html.contains(mark), "{mark}");
        }
        let digest = Sha256Digest::of(b"abc").to_base64();
        assert!(
            html.contains(&format!("\"hash\":\"{digest}\"")),
            "the digest is filled in"
        );
        assert!(html.contains("\\u003c/script>"));
        // `</` ends the element, and `<!--` changes how its end is found.
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains("</"));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let html = String::from_utf8(page().html().to_vec()).unwrap();
        for way in [" src=", "@import", "url(http", "fetch(", "href=\"http"] {
            assert!(!html.contains(way), "{way}");
        }
        let policy = page().fields()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }

    async fn exchange(address: std::net::SocketAddr, head: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn the_page_is_served_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, page(), async {
            let _ = stopped.await;
        }));

        let response = exchange(address, "GET /").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("</html>\n"));
        let response = exchange(address, "HEAD /").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\n"));
        assert!(
            exchange(address, "GET /nowhere")
                .await
                .starts_with("HTTP/1.1 404 ")
        );
        assert!(
            exchange(address, "POST /")
                .await
                .starts_with("HTTP/1.1 405 ")
        );

        // An idle connection does not hold the shutdown up.
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
