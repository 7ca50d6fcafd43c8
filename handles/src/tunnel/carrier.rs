//! Connections to a proxy that is to carry QUIC.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{ConnectError, Target, TransportSettings};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::time::after;

use crate::Connection;
use crate::alarm::Alarm;
use crate::clock::now;
use crate::endpoint::Endpoint;

/// How long large packets may go unanswered before small ones are tried beside them: two of
/// them, as the second goes after a second.
const HEAD_START: Duration = Duration::from_secs(2);

/// After how much silence a PING goes, and how much more of it is the end: ten seconds after a
/// proxy has crashed that is known.
const KEEP_ALIVE: Duration = Duration::from_millis(2500);
const SILENCE: Duration = Duration::from_millis(7500);

/// QUIC settings for a connection to a proxy that is to carry QUIC: its first packets are
/// so large that the smallest of another connection fit into them. On a path that does
/// not take 1,350 bytes the handshake fails, where
/// [`Endpoint::connect_carrier`] does without them. A proxy that is gone is noticed within ten
/// seconds.
#[must_use]
pub fn carrier_settings() -> TransportSettings {
    let mut settings = narrow_settings();
    //= https://www.rfc-editor.org/rfc/rfc9298#section-4
    // 1,200 bytes of a payload have to fit, and what surrounds them.
    settings.initial_mtu = 1350;
    // Losses do not make them smaller, or nothing would fit for a minute.
    settings.min_mtu = settings.initial_mtu;
    settings
}

/// The same with the packets that every path takes.
fn narrow_settings() -> TransportSettings {
    let mut settings = TransportSettings::client();
    // A hundred tunnels that nobody reads leave credit for the others.
    settings.stream_receive_window = 256 << 10;
    settings.keep_alive = Some(KEEP_ALIVE);
    settings.idle_timeout = Some(SILENCE);
    settings
}

type Attempt = Pin<Box<dyn Future<Output = Result<Connection, CloseReason>> + Send>>;

impl Endpoint {
    /// Begins a connection to a proxy that is to carry QUIC, with
    /// [`carrier_settings`]. When nothing answers their large packets for
    /// two seconds, packets of 1,200 bytes are tried beside them. A connection that begins
    /// with those has no HTTP datagrams: the payloads of its tunnels go in capsules, where
    /// all of them fit, and each waits for those before it
    /// ([`uses_capsules`](super::UdpTunnel::uses_capsules)).
    ///
    /// What `to` says of QUIC is not used. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin, the future's [`CloseReason`] when it failed.
    pub fn connect_carrier(
        &self,
        to: Target,
    ) -> Result<
        impl Future<Output = Result<Connection, CloseReason>> + Send + 'static + use<>,
        ConnectError,
    > {
        let mut http = Config::clone(&to.http);
        http.datagrams = false;
        let narrow = to.clone().http(http).transport(narrow_settings());
        let large = self.connect_with(to.transport(carrier_settings()))?;
        let endpoint = self.clone();
        Ok(async move {
            let mut large: Option<Attempt> = Some(Box::pin(large.established()));
            let mut small: Option<Attempt> = None;
            let mut narrow = Some(narrow);
            let mut alarm = Alarm::new(&endpoint.shared);
            let start = after(now(), HEAD_START);
            poll_fn(|cx| {
                if narrow.is_some()
                    && alarm.poll(cx, start).is_ready()
                    && let Some(to) = narrow.take()
                    && let Ok(connecting) = endpoint.connect_with(to)
                {
                    tracing::info!("no answer to large packets: trying small ones, and capsules");
                    small = Some(Box::pin(connecting.established()));
                }
                for (attempt, other) in [(0, 1), (1, 0)] {
                    let attempts = [&mut large, &mut small];
                    let Some(Poll::Ready(outcome)) =
                        (attempts[attempt].as_mut()).map(|attempt| attempt.as_mut().poll(cx))
                    else {
                        continue;
                    };
                    *attempts[attempt] = None;
                    match outcome {
                        // The other may still be heard.
                        Err(CloseReason::Transport(TransportFailure::TimedOut))
                            if attempts[other].is_some() => {}
                        outcome => return Poll::Ready(outcome),
                    }
                }
                Poll::Pending
            })
            .await
        })
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_core::event::Event;
    use aqueduct_core::testing::pair::{Options, Pair};

    use super::*;

    /// A proxy that is gone without a word is noticed within ten seconds, and one that is
    /// there and has nothing to say is not.
    #[test]
    fn a_proxy_that_has_crashed_is_noticed() {
        for settings in [carrier_settings(), narrow_settings()] {
            let mut pair = Pair::new(Options::default());
            let to = pair.target().transport(settings);
            let key = pair.client.endpoint.connect(pair.now, &to).expect("begins");
            pair.advance(Duration::from_secs(120));
            let end = |pair: &mut Pair| {
                let mut events = pair.client.take(key).into_iter();
                events.any(|event| matches!(event, Event::Closed { .. }))
            };
            assert!(!end(&mut pair));
            pair.server.link.down = true;
            let before = pair.elapsed();
            assert!(pair.drive_until(end));
            let took = pair.elapsed() - before;
            assert!(took <= Duration::from_secs(10), "{took:?}");
        }
    }
}
