//! What the endpoint of every adapter can do, on its own page.

/// Gives an adapter's type the methods of the [`Endpoint`](crate::Endpoint) in its field
/// `inner`. Not for applications.
#[doc(hidden)]
#[macro_export]
macro_rules! endpoint_methods {
    ($adapter:ident) => {
        impl $adapter {
            /// Begins a connection to `addr`, whose certificate must be for
            /// `server_name`: a DNS name, or an IP address without brackets.
            ///
            /// # Errors
            /// [`ConnectError`]($crate::protocol::endpoint::ConnectError) when it cannot
            /// even begin.
            pub fn connect(
                &self,
                addr: ::std::net::SocketAddr,
                server_name: &str,
                tls: ::std::sync::Arc<$crate::macros::rustls::ClientConfig>,
            ) -> ::std::result::Result<$crate::Connecting, $crate::protocol::endpoint::ConnectError>
            {
                self.inner.connect(addr, server_name, tls)
            }

            /// Begins a connection with settings of its own. An IPv6 socket reaches IPv4
            /// hosts too.
            ///
            /// # Errors
            /// [`ConnectError`]($crate::protocol::endpoint::ConnectError) when it cannot
            /// even begin.
            pub fn connect_with(
                &self,
                target: $crate::protocol::endpoint::Target,
            ) -> ::std::result::Result<$crate::Connecting, $crate::protocol::endpoint::ConnectError>
            {
                self.inner.connect_with(target)
            }

            /// The next connection that a client opened and that has shaken hands;
            /// `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
            /// may wait at once; cancel safe. The configuration's incoming policy limits
            /// how many connections there are, those that wait included.
            pub async fn accept(&self) -> ::std::option::Option<$crate::Connection> {
                self.inner.accept().await
            }

            /// Begins a connection of raw QUIC to a target that
            /// [speaks it]($crate::protocol::endpoint::Target::quic). Nothing is told before
            /// it [runs]($crate::QuicConnection::run).
            ///
            /// # Errors
            /// [`ConnectError`]($crate::protocol::endpoint::ConnectError) when it cannot
            /// even begin.
            pub fn connect_quic(
                &self,
                target: $crate::protocol::endpoint::Target,
            ) -> ::std::result::Result<
                $crate::QuicConnection,
                $crate::protocol::endpoint::ConnectError,
            > {
                self.inner.connect_quic(target)
            }

            /// The next connection of raw QUIC that a client has begun, whose handshake may
            /// be under way still; `None` after [`close`](Self::close) or
            /// [`drain`](Self::drain). Many tasks may wait at once; cancel safe. It counts
            /// among the connections of the incoming policy.
            pub async fn accept_quic(&self) -> ::std::option::Option<$crate::QuicConnection> {
                self.inner.accept_quic().await
            }

            /// The socket's address.
            #[must_use]
            pub fn local_addr(&self) -> ::std::net::SocketAddr {
                self.inner.local_addr()
            }

            /// Takes another TLS configuration for the connections that are accepted from
            /// now on, such as one with a renewed certificate. Connections that are there
            /// stay as they are. Tickets that clients have stay good when `tls` has the
            /// `session_storage` and the `ticketer` of the one before, as a clone has.
            ///
            /// # Errors
            /// [`ConfigError`]($crate::protocol::endpoint::ConfigError), and nothing is
            /// replaced.
            pub fn set_server_tls(
                &self,
                tls: ::std::sync::Arc<$crate::macros::rustls::ServerConfig>,
            ) -> ::std::result::Result<(), $crate::protocol::endpoint::ConfigError> {
                self.inner.set_server_tls(tls)
            }

            /// Refuses connections from here on, either way, or takes them again; those that
            /// exist are not touched.
            pub fn set_accepting(&self, accepting: bool) {
                self.inner.set_accepting(accepting);
            }

            /// Closes every connection at once and takes no more, either way: peers lose
            /// what they have not read, and sessions are told no code, which
            /// [`drain`](Self::drain) does. Returns before the peers know: see
            /// [`wait_idle`](Self::wait_idle).
            pub fn close(
                &self,
                code: $crate::protocol::code::Code,
                reason: impl ::std::convert::Into<$crate::macros::Bytes>,
            ) {
                self.inner.close(code, reason);
            }

            /// Winds every connection down (GOAWAY, drain requests to sessions) and
            /// takes no more, either way. What has not ended after `limit` is closed,
            /// sessions first, with code 0. Returns at once: see
            /// [`wait_idle`](Self::wait_idle).
            pub fn drain(&self, limit: ::std::time::Duration) {
                self.inner.drain(limit);
            }

            /// Waits until no connection is left and the last words have gone out: call
            /// it before the runtime ends. Cancel safe.
            pub async fn wait_idle(&self) {
                self.inner.wait_idle().await;
            }

            /// Connections that are not over, handshakes included.
            #[must_use]
            pub fn open_connections(&self) -> usize {
                self.inner.open_connections()
            }

            /// What the endpoint has taken, refused and lost.
            #[must_use]
            pub fn stats(&self) -> $crate::protocol::endpoint::EndpointStats {
                self.inner.stats()
            }

            /// The last system call for the socket that failed, if any did. The
            /// connections go on; a socket that is gone for good ends them all.
            #[must_use]
            pub fn socket_fault(
                &self,
            ) -> ::std::option::Option<$crate::protocol::endpoint::SocketFault> {
                self.inner.socket_fault()
            }

            /// Waits for the next failed system call; `None` when the endpoint has no
            /// driver any more. Of several in one turn it tells the last:
            /// [`stats`](Self::stats) counts all. Many tasks may wait at once; cancel
            /// safe.
            pub async fn next_socket_fault(
                &self,
            ) -> ::std::option::Option<$crate::protocol::endpoint::SocketFault> {
                self.inner.next_socket_fault().await
            }
        }
    };
}
