//! Tunnels that clients ask for.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::head::{RequestHead, ResponseHead};
use aqueduct_core::masque::{
    self, Denied, Dialect, GateConfig, GateStats, Judged, Refusal, Target, TunnelRequest,
};
use http::{HeaderMap, Request};

use super::udp::UdpTunnel;
use super::{TcpTunnel, Tunnel};
use crate::error::WriteError;
use crate::{Cancelled, Connection, ServerRequest};

/// Decides which requests get tunnels, and counts these. Clones are the same gate, so that
/// all connections of a proxy share its limits.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<masque::Gate>>);

/// What a request is to a [`Gate`].
#[derive(Debug)]
pub enum Asked {
    /// For a tunnel.
    Tunnel(Box<Offer>),
    /// For a tunnel that is not to be; it has been answered.
    Refused(Refusal),
    /// Something else: the request again.
    Other(Box<(Request<()>, ServerRequest)>),
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        Self(Arc::new(Mutex::new(masque::Gate::new(config))))
    }

    /// Decides about a request. What is refused is answered here, `proxy-status` and all.
    #[must_use]
    pub fn ask(&self, request: Request<()>, stream: ServerRequest) -> Asked {
        let head = RequestHead::from_http(request);
        let judged = self.lock().judge(&head);
        match judged {
            Judged::Other => Asked::Other(Box::new((head.into_http(), stream))),
            Judged::Refused(refusal) => {
                self.answer(stream, &refusal);
                Asked::Refused(refusal)
            }
            Judged::Asked(request) => {
                let mut stream = stream;
                stream.set_paced(false);
                // What comes early waits from here on.
                let early = (request.dialect == Dialect::Udp).then(|| stream.datagrams());
                Asked::Tunnel(Box::new(Offer {
                    request,
                    stream: Some(stream),
                    _early: early,
                    place: Place {
                        gate: self.clone(),
                        standing: Standing::Pending,
                    },
                }))
            }
        }
    }

    fn answer(&self, mut stream: ServerRequest, refusal: &Refusal) {
        let name = self.lock().config().name.clone();
        let head = refusal.head(&name);
        let text = format!("{}\n", refusal.reason());
        let sent = stream.send_response(head.into_http());
        if sent.is_ok() {
            // As much of it as there is room for at once, which it is but for flow
            // control of a few bytes.
            let mut chunks = [text.into()];
            let mut send = std::pin::pin!(stream.send.send_chunks(&mut chunks));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = send.as_mut().poll(&mut cx);
        }
        let _ = stream.finish();
    }

    /// Lets nobody in any more, or does so again; who is in stays.
    pub fn set_draining(&self, draining: bool) {
        self.lock().set_draining(draining);
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> GateStats {
        self.lock().stats()
    }

    fn lock(&self) -> MutexGuard<'_, masque::Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a tunnel stands in the counts of its gate.
#[derive(Debug)]
pub(super) struct Place {
    gate: Gate,
    standing: Standing,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Standing {
    Pending,
    Open,
    Over,
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.standing {
            Standing::Pending => self.gate.lock().given_up(),
            Standing::Open => self.gate.lock().ended(),
            Standing::Over => {}
        }
    }
}

/// A tunnel that a client asks for. Reach its target, then [`accept`](Self::accept);
/// dropping it refuses it with 503.
#[derive(Debug)]
pub struct Offer {
    request: Box<TunnelRequest>,
    /// There until it is answered.
    stream: Option<ServerRequest>,
    _early: Option<crate::Datagrams>,
    place: Place,
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.stream.is_some() {
            self.turn_down(&Refusal::Unavailable);
        }
    }
}

impl Offer {
    /// In which words it is asked for.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.request.dialect
    }

    /// Where it is to lead. Of a name, each address goes through
    /// [`check_address`](Self::check_address) before it is used.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.request.target
    }

    /// The fields of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// The client's connection; `None` once it is answered.
    #[must_use]
    pub fn connection(&self) -> Option<Connection> {
        self.stream.as_ref().map(ServerRequest::connection)
    }

    /// Whether the address that the target's name stands for may be used: to be asked for
    /// the very address that is used then. `here` is this host's own: the address itself
    /// where [`is_this_host`](super::is_this_host) says so, or where the client has reached
    /// this proxy ([`Connection::local_ip`]).
    ///
    /// # Errors
    /// [`Denied`], of which a [`Refusal`] can be made.
    pub fn check_address(&self, to: IpAddr, here: Option<IpAddr>) -> Result<(), Denied> {
        let gate = self.place.gate.lock();
        gate.check_address(&self.request.target, to, here)
    }

    /// Waits until the client does not want it any more; `None` once that makes no
    /// difference. Borrows nothing; cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        let cancelled = self.stream.as_ref().map(ServerRequest::cancelled);
        async move { cancelled?.await }
    }

    /// Refuses it.
    pub fn refuse(mut self, refusal: &Refusal) {
        self.turn_down(refusal);
    }

    fn turn_down(&mut self, refusal: &Refusal) {
        if let Some(stream) = self.stream.take() {
            self.place.gate.answer(stream, refusal);
            self.place.gate.lock().refused();
            self.place.standing = Standing::Over;
        }
    }

    /// Opens it: its target is reached. `next_hop` is told to the client.
    ///
    /// # Errors
    /// [`WriteError`] when the client has given it up.
    pub fn accept(mut self, next_hop: Option<SocketAddr>) -> Result<Tunnel, WriteError> {
        let Some(mut stream) = self.stream.take() else {
            return Err(WriteError::WrongState);
        };
        let dialect = self.request.dialect;
        let name = self.place.gate.lock().config().name.clone();
        let head: ResponseHead = masque::opening(dialect, &name, next_hop);
        stream.send_response(head.into_http())?;
        self.place.gate.lock().opened();
        self.place.standing = Standing::Open;
        let place = Some(Place {
            gate: self.place.gate.clone(),
            standing: std::mem::replace(&mut self.place.standing, Standing::Over),
        });
        let (send, recv) = stream.split();
        Ok(match dialect {
            Dialect::Udp => Tunnel::Udp(UdpTunnel::new(send.into_body(), recv, place)),
            dialect => Tunnel::Tcp(TcpTunnel::new(dialect, send.into_body(), recv, place)),
        })
    }
}
