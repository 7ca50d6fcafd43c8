//! A server in the test's own process that answers as a closure says, and remembers what it was
//! asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aqueduct_cli::identity::Identity;
use aqueduct_cli::tls::{Certificates, server_config};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::rustls::ServerConfig;
use aqueduct_tokio::{CameEarly, Endpoint, ServerRequest};
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Barrier;

use super::{Run, aqueduct_in};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: Request<()>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    pub fn method(&self) -> &str {
        self.head.method().as_str()
    }

    /// Whether it came ahead of the handshake.
    pub fn is_early(&self) -> bool {
        self.head.extensions().get::<CameEarly>().is_some()
    }

    /// The value of a field; empty when there is none.
    pub fn field(&self, name: &str) -> &str {
        let value = self.head.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// What comes after the bytes of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Finish,
    Reset(Code),
    /// Nothing, for ever.
    Silence,
}

/// An answer: its head and body, or nothing of both.
#[derive(Debug)]
pub struct Answer {
    head: Option<Response<()>>,
    body: Vec<u8>,
    then: Then,
    after: Option<Arc<Barrier>>,
}

impl Answer {
    pub fn new(status: u16, fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let mut head = Response::builder().status(status);
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        Self {
            head: Some(head.body(()).unwrap()),
            body: body.into(),
            then: Then::Finish,
            after: None,
        }
    }

    pub fn text(body: &str) -> Self {
        Self::new(200, &[], body)
    }

    pub fn nothing(then: Then) -> Self {
        Self {
            head: None,
            body: Vec::new(),
            then,
            after: None,
        }
    }

    /// Waits first until others wait there, too.
    pub fn after(mut self, barrier: &Arc<Barrier>) -> Self {
        self.after = Some(barrier.clone());
        self
    }

    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }
}

/// An identity, and the sessions that clients have tickets of.
pub fn tls() -> Arc<ServerConfig> {
    let identity = Identity::self_signed(SystemTime::now()).unwrap();
    Arc::new(server_config(&Certificates::new(&[identity]).unwrap()).unwrap())
}

/// A server that takes early data.
pub fn config(tls: &Arc<ServerConfig>, http: Config) -> EndpointConfig {
    let config = EndpointConfig::server(tls.clone(), http).unwrap();
    config.early_data(true).unwrap()
}

/// The server. It goes with the runtime.
#[derive(Clone)]
pub struct Scripted {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<Mutex<usize>>,
}

impl Scripted {
    /// Answers with what `script` makes of a request's number, from 0 on, and of the request.
    pub fn start(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(config(&tls(), Config::default()), script)
    }

    /// The same, made so.
    pub fn with(
        config: EndpointConfig,
        script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Self {
            address: endpoint.local_addr(),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (this, script) = (server.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Some(connection) = endpoint.accept().await {
                *this.connections.lock().unwrap() += 1;
                let (this, script) = (this.clone(), script.clone());
                tokio::spawn(async move {
                    while let Some((head, stream)) = connection.accept_request().await {
                        tokio::spawn(this.clone().serve(head, stream, script.clone()));
                    }
                });
            }
        });
        server
    }

    async fn serve(
        self,
        head: Request<()>,
        mut stream: ServerRequest,
        script: Arc<impl Fn(usize, &Asked) -> Answer>,
    ) {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = stream.recv_data().await {
            body.extend_from_slice(&chunk);
        }
        let asked = Asked { head, body };
        let number = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        let answer = script(number, &asked);
        if let Some(barrier) = answer.after {
            barrier.wait().await;
        }
        if let Some(head) = answer.head {
            if asked.method() == "HEAD" {
                return stream.send.send_empty(head).unwrap();
            }
            stream.send_response(head).unwrap();
            if !answer.body.is_empty() {
                // The client may have gone away.
                let _ = stream.send_data(Bytes::from(answer.body)).await;
            }
        }
        match answer.then {
            Then::Finish => drop(stream.finish()),
            Then::Reset(code) => {
                // What was sent before arrives first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                stream.reset(code);
            }
            Then::Silence => std::future::pending().await,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// What it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// Runs `aqueduct get --insecure` beside the servers.
pub async fn get(arguments: &[&str]) -> Run {
    get_with(&[], arguments).await
}

/// The same with variables in its environment.
pub async fn get_with(variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let own = |text: &&str| (*text).to_owned();
    let arguments: Vec<_> = ["get", "--insecure"]
        .iter()
        .chain(arguments)
        .map(own)
        .collect();
    let variables: Vec<_> = variables.iter().map(|(a, b)| (own(a), own(b))).collect();
    let run = tokio::task::spawn_blocking(move || {
        let variables: Vec<_> = variables.iter().map(|(a, b)| (&**a, &**b)).collect();
        aqueduct_in(&variables, arguments)
    });
    run.await.unwrap()
}
