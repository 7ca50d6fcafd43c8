//! Code that polls the `web-transport-trait` crate's sessions, on Aqueduct, for every
//! release that has such traits.

use crate::harness::{Pair, pattern, within};

macro_rules! release {
    ($name:ident, $traits:ident, $priority:literal) => {
        mod $name {
            use std::future::poll_fn;
            use std::task::{Context, Poll};

            use bytes::{Buf, Bytes};
            use $traits::poll::{RecvStream, SendStream, Session};
            use $traits::{Error, Stats};

            use super::*;

            // From here on nothing names Aqueduct.

            /// What one task that polls everything gets to see.
            enum Seen<S: Session> {
                Bi(S::SendStream, S::RecvStream),
                Uni(S::RecvStream),
                Datagram(Bytes),
                Closed(Option<(u32, String)>),
            }

            fn poll<S: Session>(session: &mut S, cx: &mut Context<'_>) -> Poll<Seen<S>> {
                if let Poll::Ready(Ok((send, recv))) = session.poll_accept_bi(cx) {
                    return Poll::Ready(Seen::Bi(send, recv));
                }
                if let Poll::Ready(Ok(recv)) = session.poll_accept_uni(cx) {
                    return Poll::Ready(Seen::Uni(recv));
                }
                if let Poll::Ready(Ok(datagram)) = session.poll_recv_datagram(cx) {
                    return Poll::Ready(Seen::Datagram(datagram));
                }
                let closed = session.poll_closed(cx);
                closed.map(|error| Seen::Closed(error.session_error()))
            }

            async fn read_all<R: RecvStream>(recv: &mut R) -> Vec<u8> {
                let mut all = Vec::new();
                while poll_fn(|cx| recv.poll_read_buf(cx, &mut all))
                    .await
                    .expect("goes on")
                    .is_some()
                {}
                all
            }

            async fn write_all<S: SendStream>(send: &mut S, mut data: Bytes) {
                while data.has_remaining() {
                    let write = poll_fn(|cx| send.poll_write_buf(cx, &mut data));
                    write.await.expect("goes on");
                }
                send.finish().expect("is open");
            }

            /// Sends everything back until the end, and tells that.
            async fn echo<S: Session>(mut session: S) -> Option<(u32, String)> {
                loop {
                    match poll_fn(|cx| poll(&mut session, cx)).await {
                        Seen::Bi(mut send, mut recv) => {
                            let all = read_all(&mut recv).await;
                            write_all(&mut send, all.into()).await;
                        }
                        Seen::Uni(mut recv) => {
                            let all = read_all(&mut recv).await;
                            let open = poll_fn(|cx| session.poll_open_uni(cx)).await;
                            let mut send = open.expect("opens");
                            send.set_priority($priority);
                            write_all(&mut send, all.into()).await;
                        }
                        Seen::Datagram(datagram) => {
                            let send = poll_fn(|cx| session.poll_send_datagram(cx, &datagram));
                            send.await.expect("goes out");
                        }
                        Seen::Closed(how) => return how,
                    }
                }
            }

            async fn ask<S: Session>(mut session: S, data: Bytes) {
                let open = poll_fn(|cx| session.poll_open_bi(cx)).await;
                let (mut send, mut recv) = open.expect("opens");
                write_all(&mut send, data.clone()).await;
                assert!(read_all(&mut recv).await == data);
                let closed = poll_fn(|cx| send.poll_closed(cx)).await;
                closed.expect("everything is acknowledged");

                let open = poll_fn(|cx| session.poll_open_uni(cx)).await;
                write_all(&mut open.expect("opens"), data.clone()).await;
                let accept = poll_fn(|cx| session.poll_accept_uni(cx)).await;
                let mut recv = accept.expect("arrives");
                let nothing = poll_fn(|cx| recv.poll_read_chunk(cx, 0)).await;
                let empty = Some(Bytes::new());
                assert_eq!(nothing.expect("asks for nothing"), empty);
                assert!(read_all(&mut recv).await == data);

                let send = poll_fn(|cx| session.poll_send_datagram(cx, b"ping"));
                send.await.expect("goes out");
                let datagram = poll_fn(|cx| session.poll_recv_datagram(cx)).await;
                assert_eq!(datagram.expect("comes back"), "ping");
                assert!(session.stats().rtt().is_some());
                assert!(session.stats().estimated_send_rate() > Some(0));
                session.close(7, "done");
            }

            /// The codes of streams that are given up.
            async fn give_up<S: Session>(mut ours: S, mut theirs: S) {
                let open = poll_fn(|cx| ours.poll_open_bi(cx)).await;
                let (mut send, mut recv) = open.expect("opens");
                poll_fn(|cx| send.poll_write(cx, b"x")).await.expect("room");
                let accept = poll_fn(|cx| theirs.poll_accept_bi(cx)).await;
                let (mut their_send, mut their_recv) = accept.expect("arrives");
                send.reset(3);
                recv.stop(4);
                let reset = poll_fn(|cx| their_recv.poll_closed(cx)).await;
                assert_eq!(reset.expect_err("was reset").stream_error(), Some(3));
                let stopped = poll_fn(|cx| their_send.poll_closed(cx)).await;
                assert_eq!(stopped.expect_err("was stopped").stream_error(), Some(4));
            }

            // Here Aqueduct is chosen.

            #[tokio::test]
            async fn code_that_polls_runs_on_aqueduct() {
                within(async {
                    let pair = Pair::new().await;
                    let (client, server) = pair.session().await;
                    give_up(client.clone(), server.clone()).await;
                    let echo = tokio::spawn(echo(server));
                    ask(client, pattern(300_000)).await;
                    let end = echo.await.expect("no panic");
                    assert_eq!(end, Some((7, "done".into())));
                })
                .await;
            }
        }
    };
}

#[cfg(feature = "web-transport-trait")]
release!(v0_5, web_transport_trait, -7);
#[cfg(feature = "web-transport-trait-0-4")]
release!(v0_4, web_transport_trait_0_4, 7);
