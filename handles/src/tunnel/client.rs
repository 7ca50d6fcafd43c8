//! Tunnels that this side asks for.

use aqueduct_core::code::Code;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::masque::{Dialect, OpenTunnel, is_opened};

use super::udp::UdpTunnel;
use super::{OpenTunnelError, TcpTunnel, Tunnel};
use crate::Connection;

impl Connection {
    /// Asks the proxy at the other end for a tunnel, and waits for its answer (client).
    /// Dropping the future takes the request back. A connection carries many tunnels, and
    /// other requests beside them.
    ///
    /// # Errors
    /// [`OpenTunnelError`]: [`Refused`](OpenTunnelError::Refused) with the answer's head
    /// for one that opens no tunnel.
    pub async fn open_tunnel(&self, open: &OpenTunnel) -> Result<Tunnel, OpenTunnelError> {
        let head = open.head().map_err(|_| OpenTunnelError::Head)?;
        let dialect = open.dialect;
        let sent = self.request(head.into_http()).await;
        let mut request = sent.map_err(OpenTunnelError::Request)?;
        // What the proxy sends with its answer waits from here on.
        let early = (dialect == Dialect::Udp).then(|| request.datagrams());
        let answer = request.recv_response().await;
        let head = ResponseHead::from_http(answer.map_err(OpenTunnelError::NoAnswer)?);
        match is_opened(dialect, &head) {
            Ok(true) => {}
            Ok(false) => return Err(OpenTunnelError::Refused(Box::new(head))),
            Err(fault) => {
                //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
                // Such an answer is malformed.
                let _ = request.send.reset(Code::H3_MESSAGE_ERROR);
                let _ = request.recv.stop(Code::H3_MESSAGE_ERROR);
                return Err(OpenTunnelError::BadAnswer(fault));
            }
        }
        drop(early);
        let (send, recv) = request.split();
        let recv = recv.into_body();
        Ok(match dialect {
            Dialect::Udp => Tunnel::Udp(UdpTunnel::new(send, recv, None)),
            dialect => Tunnel::Tcp(TcpTunnel::new(dialect, send, recv, None)),
        })
    }
}
