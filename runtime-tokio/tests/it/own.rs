//! Row C16: no tunnel leads to the proxy's own addresses, by whichever of them it was reached.

use std::net::{IpAddr, SocketAddr};

use aqueduct_tokio::proxy::{
    Dialect, GateConfig, OpenTunnelError, ProxyOptions, Rule, TargetPolicy,
};
use tokio::net::{TcpListener, UdpSocket};

use crate::proxy::{World, target};

/// The address of this host that others see; `None` where there is no way to any.
async fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    socket.connect("198.51.100.7:9").await.ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Every kind of tunnel to there, by a proxy with this rule: the status if one is refused.
async fn statuses(rule: &str, to: SocketAddr) -> Vec<Option<u16>> {
    let mut gate = GateConfig::default();
    let rule: Rule = rule.parse().expect("a rule");
    gate.policy = TargetPolicy::default().allow(rule);
    let world = World::with(gate, ProxyOptions::default()).await;
    let mut statuses = Vec::new();
    for dialect in [Dialect::Udp, Dialect::Tcp12, Dialect::Classic] {
        let open = world.open(dialect, &target(to));
        statuses.push(match world.connection.open_tunnel(&open).await {
            Ok(_) => None,
            Err(OpenTunnelError::Refused(head)) => Some(head.status.as_u16()),
            Err(error) => panic!("{error}"),
        });
    }
    statuses
}

#[tokio::test]
async fn a_proxy_leads_nowhere_on_its_own_host_but_where_a_rule_for_it_says() {
    let Some(here) = outside().await else {
        return println!("this host has no address but loopback: nothing is tried");
    };
    let listener = TcpListener::bind((here, 0)).await.expect("binds");
    let to = listener.local_addr().expect("bound");
    // The client has reached it on loopback.
    assert_eq!(statuses("0.0.0.0/0", to).await, [Some(403); 3]);
    // Nobody has connected, not even to be turned away.
    let accepted = std::future::poll_fn(|cx| match listener.poll_accept(cx) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(accepted.is_ok()),
        std::task::Poll::Pending => std::task::Poll::Ready(false),
    });
    assert!(!accepted.await);
    assert_eq!(statuses(&here.to_string(), to).await, [None; 3]);
}

/// Loopback has a rule of its own, whichever of its addresses.
#[tokio::test]
async fn loopback_is_where_a_rule_for_loopback_leads() {
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("binds");
    let to = listener.local_addr().expect("bound");
    assert_eq!(statuses("127.0.0.0/8", to).await, [None; 3]);
    assert_eq!(statuses("127.0.0.1", to).await, [Some(403); 3]);
}
