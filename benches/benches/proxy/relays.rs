//! The proxies that are measured, each in a process of its own.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use aqueduct_core::testing::cert::Identity;
use aqueduct_tokio::Endpoint;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::proxy::{GateConfig, Proxy, TargetPolicy, carrier_settings};
use tokio::net::UdpSocket;

use crate::udp::Udp;

/// Runs a proxy until standard input ends; its address is the first line it prints.
pub(crate) fn run(kind: &str, threads: usize, target: SocketAddr) {
    // Whoever started it is gone.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    };
    runtime.expect("a runtime").block_on(async {
        // A task of the runtime's, not of the thread's that waits for it.
        let serving = match kind {
            "floor" => tokio::spawn(batches(target)),
            "plain" => tokio::spawn(one_by_one(target)),
            "aqueduct" => tokio::spawn(aqueduct()),
            other => panic!("no proxy {other}"),
        };
        serving.await.expect("no panic");
    });
}

fn ready(address: SocketAddr) {
    println!("{address}");
    std::io::stdout().flush().expect("somebody listens");
}

/// The floor: datagrams as they are, one socket towards the clients and one for each of
/// them towards the target, GSO and GRO on all of them. No copy, and no look at a byte.
async fn batches(target: SocketAddr) {
    let clients = Arc::new(Udp::bind(None).expect("binds"));
    ready(clients.address());
    let mut targets: BTreeMap<SocketAddr, Arc<Udp>> = BTreeMap::new();
    loop {
        let come = clients.recv(|from, contents, stride| {
            let outside = targets.entry(from).or_insert_with(|| {
                let outside = Arc::new(Udp::bind(Some(target)).expect("binds"));
                tokio::spawn(back(Arc::clone(&outside), Arc::clone(&clients), from));
                outside
            });
            outside.send(target, contents, stride);
        });
        come.await.expect("receives");
    }
}

async fn back(outside: Arc<Udp>, clients: Arc<Udp>, to: SocketAddr) {
    loop {
        let come = outside.recv(|_, contents, stride| {
            clients.send(to, contents, stride);
        });
        come.await.expect("receives");
    }
}

/// The same with one system call for each datagram received and sent.
async fn one_by_one(target: SocketAddr) {
    let clients = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("binds"));
    ready(clients.local_addr().expect("bound"));
    let mut targets: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = clients.recv_from(&mut buffer).await.expect("receives");
        let outside = match targets.get(&from) {
            Some(outside) => outside,
            None => {
                let outside = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
                outside.connect(target).await.expect("connects");
                let outside = Arc::new(outside);
                let (theirs, clients) = (Arc::clone(&outside), Arc::clone(&clients));
                tokio::spawn(async move {
                    let mut buffer = [0; 2048];
                    loop {
                        let len = theirs.recv(&mut buffer).await.expect("receives");
                        let _ = clients.send_to(&buffer[..len], from).await;
                    }
                });
                targets.entry(from).or_insert(outside)
            }
        };
        let _ = outside.send(&buffer[..len]).await;
    }
}

/// Ours: what `aqueduct proxy` is made of.
async fn aqueduct() {
    let tls = Identity::localhost().server();
    let config = EndpointConfig::server(tls.into(), Config::default()).expect("suits");
    let config = config.transport(carrier_settings()).expect("suits");
    let local = "127.0.0.1:0".parse().expect("an address");
    let endpoint = Endpoint::server(config, local).expect("binds");
    let mut gate = GateConfig::default();
    gate.policy = TargetPolicy::default().allow("127.0.0.0/8".parse().expect("a rule"));
    let proxy = Proxy::new(gate);
    ready(endpoint.local_addr());
    while let Some(connection) = endpoint.accept().await {
        let proxy = proxy.clone();
        tokio::spawn(async move {
            while let Some((request, stream)) = connection.accept_request().await {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.serve(request, stream).await });
            }
        });
    }
    pending::<()>().await;
}
