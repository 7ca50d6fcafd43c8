//! `aqueduct tunnel`: UDP, TCP and SOCKS5 of this host through a proxy.

mod backoff;
mod flows;
mod socks;
mod tcp;
mod udp;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;

use aqueduct_tokio::proxy::TunnelKind;
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};

use crate::args::Tunnel;
use crate::client::{Dialer, Proxy, authorization};
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::signals::Signals;
use upstream::Upstream;

/// Carries what comes until a signal comes.
pub async fn run(options: &Tunnel, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen().doing(|| "cannot listen for signals".to_owned())?;
    let authorization = authorization(
        ("--bearer-file", options.bearer_file.as_deref()),
        ("--basic-file", options.basic_file.as_deref()),
    )?;
    let kind = match options.tcp {
        Some(_) => TunnelKind::Tcp,
        None => TunnelKind::Udp,
    };
    let dialer = Dialer::new(&options.connect, recording, output)?.to_proxy(None)?;
    let proxy = Arc::new(Proxy::new(
        options.proxy.clone(),
        kind,
        authorization,
        dialer,
    ));
    let work = carry(options, proxy.clone(), output);
    let done = tokio::select! {
        done = work => done.map(|()| Exit::Ok),
        signal = signals.next() => {
            output.remark(&format!("{signal}: the tunnels are closed"));
            Ok(Exit::Ok)
        }
    };
    proxy.leave().await;
    done
}

/// Binds, connects, says so, and carries. It ends only when it cannot begin.
async fn carry(options: &Tunnel, proxy: Arc<Proxy>, output: Output) -> Result<(), Failure> {
    // What is wrong with an address shows before anybody is talked to.
    let local = options.socks.unwrap_or(options.local);
    let doing = || format!("cannot listen on {local}");
    let ready = |address, what: &str, target: Option<String>| {
        let to = target.as_ref().map(|target| format!(" to {target}"));
        let text = format!(
            "{what} on {address}{} through {}",
            to.unwrap_or_default(),
            options.proxy
        );
        let fields = json!({
            "ready": true,
            "kind": what,
            "address": SocketAddr::to_string(&address),
            "target": target,
            "proxy": options.proxy.to_string(),
        });
        output.object(&text, &fields).map_err(unprinted)
    };
    if let Some(target) = &options.udp {
        let socket = UdpSocket::bind(local).await.doing(doing)?;
        let (upstream, _keeping) = Upstream::connect(proxy, options, output).await?;
        // Whether the proxy takes it shows at once.
        let first = upstream.udp(target).await?;
        let address = socket.local_addr().doing(doing)?;
        ready(address, "udp", Some(target.to_string()))?;
        udp::run(socket, target, first, &upstream).await;
    } else {
        let listener = TcpListener::bind(local).await.doing(doing)?;
        let (upstream, _keeping) = Upstream::connect(proxy, options, output).await?;
        let address = listener.local_addr().doing(doing)?;
        match &options.tcp {
            Some(target) => {
                ready(address, "tcp", Some(target.to_string()))?;
                tcp::run(listener, target, &upstream).await;
            }
            None => {
                ready(address, "socks", None)?;
                socks::run(listener, &upstream).await;
            }
        }
    }
    Ok(())
}
