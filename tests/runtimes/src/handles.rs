//! Both ends over the asynchronous handles: tokio, async-std and smol.

use std::net::{SocketAddr, UdpSocket};

use aqueduct_core::endpoint::{ConnectError, Target};
use aqueduct_core::webtransport::ConnectRequest;
use aqueduct_handles::error::OpenSessionError as SessionRefused;
use aqueduct_handles::{
    Connecting, Connection, RecvStream, RequestStream, ResponseReceiver, SendStream, ServerRequest,
    Session,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use smol::future::zip;

use crate::runtime::{ANY, Job, target};
use crate::script::{
    BIG, DATAGRAMS, ECHO, LIMIT, ONE_WAY, REBIND_AT, STREAM, datagram, pattern, uri,
};
use crate::trace::{Digest, Trace};
use crate::tunnel;

/// What the endpoints of the asynchronous adapters have in common.
pub trait Port {
    /// See the adapters, here and below.
    fn begin(&self, target: Target) -> Result<Connecting, ConnectError>;
    /// The next connection.
    fn next(&self) -> impl Future<Output = Option<Connection>>;
    /// Winds everything down.
    fn wind_down(&self);
    /// Waits for the last words.
    fn idle(&self) -> impl Future<Output = ()>;
    /// Takes another socket.
    fn move_to(&self, socket: UdpSocket);
    /// The socket's address.
    fn address(&self) -> SocketAddr;
}

macro_rules! ports {
    ($($adapter:ident)*) => {$(
        impl Port for $adapter::Endpoint {
            fn begin(&self, target: Target) -> Result<Connecting, ConnectError> {
                self.connect_with(target)
            }
            async fn next(&self) -> Option<Connection> {
                self.accept().await
            }
            fn wind_down(&self) {
                self.drain(LIMIT);
            }
            async fn idle(&self) {
                self.wait_idle().await;
            }
            fn move_to(&self, socket: UdpSocket) {
                self.rebind(socket).expect("a socket");
            }
            fn address(&self) -> SocketAddr {
                self.local_addr()
            }
        }
    )*};
}

ports! { aqueduct_tokio aqueduct_async_std }

/// Serves one connection to its end.
pub async fn serve(endpoint: impl Port, trace: Trace) {
    let connection = endpoint.next().await.expect("a client");
    trace.note("connection", "connected");
    let requests = async {
        while let Some((request, stream)) = connection.accept_request().await {
            answer(&endpoint, &request, stream, &trace).await;
        }
    };
    let sessions = async {
        while let Some(request) = connection.accept_session().await {
            let name = request.uri().path().to_owned();
            if name == "/nowhere" {
                trace.note(&name, "rejected");
                request.reject(StatusCode::NOT_FOUND).expect("waits");
                continue;
            }
            trace.note(&name, "accepted");
            converse(request.accept().expect("waits"), &name, &trace).await;
        }
    };
    let draining = async {
        if let Some(by) = connection.draining().await {
            trace.note("connection", format!("draining by {by:?}"));
        }
    };
    zip(requests, zip(sessions, draining)).await;
    let reason = connection.closed().await;
    trace.note("connection", format!("closed: {reason:?}"));
    drop(connection);
    endpoint.idle().await;
}

async fn answer(
    endpoint: &impl Port,
    request: &Request<()>,
    mut stream: ServerRequest,
    trace: &Trace,
) {
    let name = format!("{} {}", request.method(), request.uri().path());
    trace.note(&name, "requested");
    if request.extensions().get() == Some(&tunnel::protocol()) {
        return tunnel::handles::serve(stream, trace).await;
    }
    let status = match request.uri().path() {
        "/drain" => StatusCode::NO_CONTENT,
        _ => StatusCode::OK,
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    stream.send_response(response).expect("first");
    let mut content = Digest::default();
    while let Some(chunk) = stream.recv_data().await.expect("whole") {
        content.add(&chunk);
        if name == "POST /echo" {
            stream.send_data(chunk).await.expect("is wanted");
        }
    }
    trace.note(&name, format!("content: {content}"));
    match &*name {
        "GET /hello" => stream.send_data("hello".into()).await.expect("is wanted"),
        "GET /big" => stream.send_data(pattern(BIG)).await.expect("is wanted"),
        "POST /drain" => endpoint.wind_down(),
        _ => {}
    }
    if name == "POST /echo" {
        let bytes = HeaderValue::from(content.len);
        let trailers = HeaderMap::from_iter([(http::header::ETAG, bytes)]);
        stream.send_trailers(&trailers).expect("last");
    } else {
        stream.finish().expect("last");
    }
}

/// The server's side of a session.
async fn converse(session: Session, name: &str, trace: &Trace) {
    let streams = async {
        while let Ok((send, recv)) = session.accept_bi().await {
            let content = echo(send, recv).await;
            trace.note(format!("{name} stream"), content.to_string());
        }
    };
    let one_way = async {
        while let Ok(mut recv) = session.accept_uni().await {
            let content = recv.read_to_end(1000).await.expect("short");
            trace.note(
                format!("{name} one-way stream"),
                Digest::of(&content).to_string(),
            );
            let mut send = session.open_uni().await.expect("few");
            send.write_chunk(content).await.expect("is wanted");
            send.finish().expect("once");
        }
    };
    let datagrams = async {
        while let Ok(datagram) = session.recv_datagram().await {
            let text = String::from_utf8_lossy(&datagram);
            trace.note(format!("{name} datagrams"), text);
            session.send_datagram_wait(&datagram).await.expect("small");
        }
    };
    zip(streams, zip(one_way, datagrams)).await;
    trace.note(name, format!("{:?}", session.closed().await));
}

async fn echo(mut send: SendStream, mut recv: RecvStream) -> Digest {
    let mut content = Digest::default();
    while let Some(chunk) = recv.read_chunk(1 << 16).await.expect("whole") {
        content.add(&chunk);
        send.write_chunk(chunk).await.expect("is wanted");
    }
    send.finish().expect("once");
    content
}

/// The client of a job.
pub async fn ask(endpoint: impl Port, server: SocketAddr, job: Job, trace: Trace) {
    let connection = endpoint.begin(target(server)).expect("begins").await;
    let connection = connection.expect("shakes hands");
    match job {
        Job::Script => script(connection, &trace).await,
        Job::Download => download(&endpoint, connection, &trace).await,
        Job::Tunnel => tunnel::handles::ask(connection, &trace).await,
    }
    endpoint.idle().await;
}

async fn script(connection: Connection, trace: &Trace) {
    trace.note("connection", "connected");
    connection.settings().await.expect("arrive");
    trace.note("connection", "settings");

    let (mut send, recv) = request(&connection, "GET", "/hello").await.split();
    send.finish().expect("once");
    receive(recv, "GET /hello", trace).await;

    let (mut send, recv) = request(&connection, "POST", "/echo").await.split();
    let sending = async {
        let content = pattern(ECHO);
        for at in (0..ECHO).step_by(50_000) {
            let piece = content.slice(at..ECHO.min(at + 50_000));
            send.send_data(piece).await.expect("is wanted");
        }
        send.finish().expect("once");
    };
    zip(sending, receive(recv, "POST /echo", trace)).await;

    match session(&connection, "/nowhere").await {
        Err(SessionRefused::Rejected { status, .. }) => {
            trace.note("/nowhere", format!("rejected with {status}"));
        }
        other => panic!("{other:?}"),
    }

    chat(&connection, trace).await;

    let late = session(&connection, "/late").await.expect("is accepted");
    trace.note("/late", "established");
    let (mut send, recv) = request(&connection, "POST", "/drain").await.split();
    send.finish().expect("once");
    receive(recv, "POST /drain", trace).await;
    let by = connection.draining().await.expect("drains first");
    trace.note("connection", format!("draining by {by:?}"));
    assert!(late.draining().await, "the session drains before it ends");
    trace.note("/late", "draining");
    late.close(0, "bye").expect("is open");
    trace.note("/late", format!("{:?}", late.closed().await));
    drop((send, late));
    let reason = connection.closed().await;
    trace.note("connection", format!("closed: {reason:?}"));
}

async fn chat(connection: &Connection, trace: &Trace) {
    let chat = session(connection, "/chat").await.expect("is accepted");
    trace.note("/chat", "established");
    let (mut send, mut recv) = chat.open_bi().await.expect("few");
    let sending = async {
        send.write_chunk(pattern(STREAM)).await.expect("is wanted");
        send.finish().expect("once");
    };
    let (echo, ()) = zip(recv.read_to_end(STREAM), sending).await;
    let echo = Digest::of(&echo.expect("whole"));
    trace.note("/chat stream", echo.to_string());

    let mut send = chat.open_uni().await.expect("few");
    send.write_all(ONE_WAY).await.expect("is wanted");
    send.finish().expect("once");
    let mut back = chat.accept_uni().await.expect("comes back");
    let back = back.read_to_end(1000).await.expect("short");
    trace.note("/chat one-way stream", Digest::of(&back).to_string());

    for number in 0..DATAGRAMS {
        let payload = datagram(number);
        chat.send_datagram_wait(&payload).await.expect("small");
        let echo = chat.recv_datagram().await.expect("comes back");
        trace.note("/chat datagrams", String::from_utf8_lossy(&echo));
    }
    chat.close(7, "done").expect("is open");
    trace.note("/chat", format!("{:?}", chat.closed().await));
}

/// Ten megabytes, and another port in the middle of them.
async fn download(endpoint: &impl Port, connection: Connection, trace: &Trace) {
    let before = endpoint.address();
    let mut stream = request(&connection, "GET", "/big").await;
    stream.finish().expect("once");
    let response = stream.recv_response().await.expect("answers");
    trace.note("GET /big", response.status().as_str());
    let mut content = Digest::default();
    while let Some(chunk) = stream.recv_data().await.expect("whole") {
        content.add(&chunk);
        if content.len >= REBIND_AT && endpoint.address() == before {
            endpoint.move_to(UdpSocket::bind(ANY).expect("a port"));
        }
    }
    assert_ne!(endpoint.address(), before);
    trace.note("GET /big", format!("content: {content}"));
}

async fn request(connection: &Connection, method: &str, path: &str) -> RequestStream {
    let request = Request::builder().method(method).uri(uri(path)).body(());
    let stream = connection.request(request.expect("valid")).await;
    stream.expect("is taken")
}

async fn session(connection: &Connection, path: &str) -> Result<Session, SessionRefused> {
    connection
        .open_session(ConnectRequest::new(uri(path)))
        .await
}

async fn receive(mut stream: ResponseReceiver, name: &str, trace: &Trace) {
    let response = stream.recv_response().await.expect("answers");
    trace.note(name, response.status().as_str());
    let mut content = Digest::default();
    while let Some(chunk) = stream.recv_data().await.expect("whole") {
        content.add(&chunk);
    }
    trace.note(name, format!("content: {content}"));
    if let Some(trailers) = stream.recv_trailers().await.expect("whole") {
        let fields = format!("{:?}", trailers.headers);
        trace.note(format!("{name} trailers"), fields);
    }
}
