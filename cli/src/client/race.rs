//! Several addresses of one host: the first that answers wins.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};

/// How long an attempt is alone before the next address is tried beside it.
//= https://www.rfc-editor.org/rfc/rfc8305#section-5
// 250 ms is the recommended delay.
const HEAD_START: Duration = Duration::from_millis(250);

/// Begins `attempt` with each of `addresses` in turn, the next as soon as one failed or had its
/// head start, until one succeeds; the others are dropped. A certificate that is not trusted ends
/// the race, as it would be the same elsewhere. Otherwise the first failure is told.
pub(super) async fn race<T, F, A>(addresses: Vec<SocketAddr>, attempt: A) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
    A: Fn(SocketAddr) -> F,
{
    let mut waiting = alternate(addresses).into_iter().peekable();
    let mut running = JoinSet::new();
    let mut first = None;
    loop {
        if let Some(address) = waiting.next() {
            running.spawn(attempt(address));
        }
        let next = async {
            if waiting.peek().is_some() {
                tokio::time::sleep(HEAD_START).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = next => continue,
        };
        match ended {
            Some(Ok(Ok(won))) => return Ok(won),
            Some(Ok(Err(failure))) => {
                tracing::debug!(%failure, "an attempt failed");
                if failure.exit() == Exit::Certificate {
                    return Err(failure);
                }
                first.get_or_insert(failure);
            }
            Some(Err(panicked)) => {
                let what = "an attempt to connect broke down";
                return Err(Failure::because(Exit::Failure, what, panicked));
            }
            None => {
                let nothing = || Failure::new(Exit::Failure, "the host has no address");
                return Err(first.unwrap_or_else(nothing));
            }
        }
    }
}

/// The addresses with the two families in turns, the resolver's first one in front.
//= https://www.rfc-editor.org/rfc/rfc8305#section-4
// So that a family that is broken here delays the other but once.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let (ahead, behind): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut ahead, mut behind) = (ahead.into_iter(), behind.into_iter());
    let mut out = Vec::new();
    loop {
        let pair = [ahead.next(), behind.next()];
        if pair == [None, None] {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn families_take_turns() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let wanted = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(alternate(given), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_head_start_and_a_failing_one_nothing() {
        let begun = tokio::time::Instant::now();
        let given = addresses(&["1.0.0.1:1", "1.0.0.2:2", "1.0.0.3:3"]);
        let won = race(given, |address| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(Failure::new(Exit::Failure, "broken")),
                port => Ok(port),
            }
        });
        assert_eq!(won.await.expect("the third answers"), 3);
        assert_eq!(begun.elapsed(), HEAD_START);
    }

    #[tokio::test]
    async fn the_first_failure_is_told_and_a_certificate_ends_the_race() {
        let fail = |exits: &'static [Exit]| {
            race(addresses(&["1.0.0.1:0", "1.0.0.2:1"]), move |address| {
                let at = usize::from(address.port());
                async move { Err::<(), _>(Failure::new(exits[at], format!("failure {at}"))) }
            })
        };
        let told = fail(&[Exit::Failure, Exit::Failure])
            .await
            .expect_err("all fail");
        assert_eq!(told.to_string(), "failure 0");
        let told = fail(&[Exit::Failure, Exit::Certificate])
            .await
            .expect_err("all fail");
        assert_eq!(told.to_string(), "failure 1");
    }
}
