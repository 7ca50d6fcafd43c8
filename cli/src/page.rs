//! The single page to try WebTransport from a browser, and the plain HTTP server behind `--page`.
//!
//! The server is hyper's, with one request for each connection: nothing is kept idle or pipelined
//! then, and a deadline for the whole bounds each wait within. A browser that loads one page loses
//! nothing by it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aqueduct_tokio::protocol::endpoint::{AddressBlock, NetworkOrigin};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::identity::Sha256Digest;
use crate::throttle::Throttle;

const HTML: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/style.css");
const SCRIPT: &str = include_str!("../page/app.js");

/// Connections open at once; a page in a browser needs one or two.
const MAX_CONNECTIONS: usize = 64;
/// Those of one address, or of one /64 of IPv6.
const PER_ADDRESS: usize = 16;
/// How long a connection may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take for its request and the answer.
const LIFETIME: Duration = Duration::from_secs(30);
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long open connections get to finish after the shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

static FAILED: Throttle = Throttle::new();
/// Connections that were ended for others.
static EVICTED: Throttle = Throttle::new();

/// What the page must know about the WebTransport server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host of the session's URL, with brackets around an IPv6 address; the page's own when `None`.
    pub host: Option<String>,
    /// UDP port.
    pub port: u16,
    /// Path of a session that echoes.
    pub path: &'static str,
    /// Digest of the certificate, if browsers take it by that.
    pub certificate: Option<Sha256Digest>,
}

/// The page, ready to be sent. Clones share it.
#[derive(Clone, Debug)]
pub struct Page(Arc<RwLock<Content>>);

#[derive(Clone, Debug)]
struct Content {
    html: Bytes,
    fields: HeaderMap,
}

impl Page {
    /// Fills the page in. O(its size, about 40 KiB).
    pub fn new(server: &Server) -> Self {
        Self(Arc::new(RwLock::new(Content::new(server))))
    }

    /// Fills it in again.
    pub fn replace(&self, server: &Server) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Content::new(server);
    }

    /// The fields to send with it, over any version of HTTP, and the document.
    pub fn content(&self) -> (HeaderMap, Bytes) {
        let content = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (content.fields.clone(), content.html.clone())
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let plain = |status: StatusCode| {
            let mut response = Response::new(Full::from(format!("{status}\n")));
            *response.status_mut() = status;
            response
        };
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/" | "/index.html") => {
                let (fields, html) = self.content();
                let html = match *method {
                    Method::HEAD => Bytes::new(),
                    _ => html,
                };
                let mut response = Response::new(Full::new(html));
                *response.headers_mut() = fields;
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

impl Content {
    fn new(server: &Server) -> Self {
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
}

/// Serves the page over HTTP/1.1 until `shutdown` ends, then lets open connections finish their
/// request for a moment. Dropping the future closes everything at once.
pub async fn serve(listener: TcpListener, page: Page, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let (stop, _) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut places = Places::default();
    loop {
        let (socket, remote) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others may end meanwhile.
                    if let Some(count) = FAILED.occasion() {
                        tracing::warn!(%error, count, "cannot accept a connection for the page");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let of = NetworkOrigin::from(remote.ip()).address;
        places.make_room(of);
        let busy = Arc::new(AtomicBool::new(false));
        let work = answer(socket, page.clone(), Arc::clone(&busy), stop.subscribe());
        let task = connections.spawn(work);
        places.taken.push(Place { of, busy, task });
    }
    drop(listener);
    drop(stop);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
        tracing::debug!("closing connections for the page that did not finish");
    }
}

/// Answers one request, and closes the connection.
async fn answer(
    socket: TcpStream,
    page: Page,
    busy: Arc<AtomicBool>,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        busy.store(true, Ordering::Relaxed);
        let response = page.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service)
    );
    let whole = async {
        tokio::select! {
            ended = &mut connection => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match tokio::time::timeout(LIFETIME, whole).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for the page failed"),
        Err(_) => tracing::debug!("a connection for the page took too long"),
    }
}

/// The connections of the page, the oldest first.
#[derive(Debug, Default)]
struct Places {
    taken: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    of: AddressBlock,
    /// Whether the head of its request has come.
    busy: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Places {
    /// Ends a connection when there is no place for one more: of the same address when that has its
    /// part, else of the address that has the most, the oldest of several. The oldest that has sent
    /// no request goes first. O(n²) in the places.
    fn make_room(&mut self, of: AddressBlock) {
        self.taken.retain(|place| !place.task.is_finished());
        let count = |of: AddressBlock| self.taken.iter().filter(|place| place.of == of).count();
        let holder = if count(of) >= PER_ADDRESS {
            of
        } else if self.taken.len() >= MAX_CONNECTIONS {
            let most = self.taken.iter().rev().max_by_key(|place| count(place.of));
            most.map_or(of, |place| place.of)
        } else {
            return;
        };
        // The first of those that are least in the middle of something.
        let theirs = self.taken.iter().enumerate();
        let theirs = theirs.filter(|(_, place)| place.of == holder);
        let goes = theirs.min_by_key(|(_, place)| place.busy.load(Ordering::Relaxed));
        if let Some((at, _)) = goes {
            self.taken.remove(at).task.abort();
            if let Some(count) = EVICTED.occasion() {
                tracing::warn!(
                    ?holder,
                    count,
                    "connections for the page made place for others"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

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
        let html = String::from_utf8(page.content().1.to_vec()).unwrap();
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
        let html = String::from_utf8(page().content().1.to_vec()).unwrap();
        for way in [" src=", "@import", "url(http", "fetch(", "href=\"http"] {
            assert!(!html.contains(way), "{way}");
        }
        let policy = page().content().0[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }

    async fn exchange(address: SocketAddr, head: &str) -> String {
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

    /// A page of more than any buffer on the way holds.
    fn large() -> Page {
        let page = page();
        {
            let mut content = page.0.write().unwrap();
            content.html = vec![b'x'; 8 << 20].into();
            let length = content.html.len().into();
            content.fields.insert(header::CONTENT_LENGTH, length);
        }
        page
    }

    /// A server that ends with the runtime.
    async fn served(page: Page) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, page, std::future::pending()));
        address
    }

    /// A connection from an address of this host, which reads little by itself.
    async fn from(host: u8, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket
            .bind(SocketAddr::from(([127, 0, 0, host], 0)))
            .unwrap();
        socket.connect(to).await.unwrap()
    }

    /// What comes until the end, however it ends.
    async fn rest(socket: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is an end, too.
        let _ = socket.read_to_end(&mut bytes).await;
        bytes
    }

    /// Whether the server has left a connection that waits for more.
    async fn is_open(socket: &mut TcpStream) -> bool {
        let mut byte = [0];
        let read = socket.read(&mut byte);
        tokio::time::timeout(Duration::from_millis(200), read)
            .await
            .is_err()
    }

    const PIPELINED: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";

    #[tokio::test]
    async fn one_request_is_answered_however_many_are_pipelined() {
        let mut socket = from(1, served(page()).await).await;
        socket.write_all(PIPELINED).await.unwrap();
        let text = rest(&mut socket).await;
        let text = String::from_utf8_lossy(&text);
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1);
        assert!(text.contains("connection: close"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_and_an_answer_that_is_not_read_have_deadlines() {
        let address = served(large()).await;
        let begun = tokio::time::Instant::now();
        let mut slow = from(1, address).await;
        slow.write_all(b"GET / HT").await.unwrap();
        rest(&mut slow).await;
        assert!(
            (HEAD_TIMEOUT..LIFETIME).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );

        let mut unread = from(1, address).await;
        unread.write_all(PIPELINED).await.unwrap();
        tokio::time::sleep(LIFETIME + Duration::from_secs(1)).await;
        let read = rest(&mut unread).await.len();
        assert!(read > 0 && read < 8 << 20, "{read} bytes");
        // It was cut off then, not by a later deadline that the clock leaps to.
        assert!(begun.elapsed() < LIFETIME * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused() {
        let mut socket = from(1, served(page()).await).await;
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        socket.write_all(long.as_bytes()).await.unwrap();
        assert!(rest(&mut socket).await.starts_with(b"HTTP/1.1 431 "));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_has_its_part_and_its_oldest_idle_connection_goes_first() {
        let address = served(page()).await;
        let mut held = Vec::new();
        for _ in 0..PER_ADDRESS {
            held.push(from(1, address).await);
        }
        let mut other = from(2, address).await;
        for socket in &mut held {
            assert!(is_open(socket).await);
        }
        held.push(from(1, address).await);
        assert!(!is_open(&mut held[0]).await, "the oldest");
        assert!(is_open(&mut held[1]).await && is_open(&mut other).await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn unread_answers_on_every_place_keep_nobody_out() {
        let address = served(large()).await;
        let mut held = Vec::new();
        for at in 0..MAX_CONNECTIONS {
            let mut socket = from(2 + (at / PER_ADDRESS) as u8, address).await;
            socket.write_all(PIPELINED).await.unwrap();
            held.push(socket);
        }
        let response = exchange(address, "GET /nowhere").await;
        assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
        let response = exchange(address, "GET /").await;
        assert!(response.len() > 8 << 20);
        // The first took the place of the oldest.
        let cut = rest(&mut held[0]).await.len();
        assert!(cut < 8 << 20, "{cut} bytes");
        let whole = rest(&mut held[MAX_CONNECTIONS - 1]).await.len();
        assert!(whole > 8 << 20, "{whole} bytes");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let same = |a: &str, b: &str| {
            let of = |ip: &str| NetworkOrigin::from(ip.parse::<IpAddr>().unwrap()).address;
            of(a) == of(b)
        };
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
    }
}
