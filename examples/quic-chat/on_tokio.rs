//! The chat on tokio: a task for each connection.

use std::net::SocketAddr;

use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::Endpoint;
use tokio::runtime::Runtime;

use crate::room::Room;
use crate::visitor::Visitor;
use crate::{Result, any, read_keyboard};

pub(crate) fn serve(config: EndpointConfig, address: SocketAddr) -> Result<()> {
    Runtime::new()?.block_on(async {
        let endpoint = Endpoint::server(config, address)?;
        println!("chat at {}", endpoint.local_addr());
        let room = Room::default();
        let member = |mailbox: aqueduct_tokio::Mailbox<_>| {
            room.member(Box::new(move |said| drop(mailbox.try_send(said))))
        };
        endpoint.serve_quic(member).await;
        Ok(())
    })
}

pub(crate) fn join(target: Target, name: &str) -> Result<()> {
    Runtime::new()?.block_on(async {
        let endpoint = Endpoint::client(any(&target))?;
        let run = endpoint.connect_quic(target)?.run(Visitor::new(name));
        let mailbox = run.mailbox();
        read_keyboard(move |typed| drop(mailbox.try_send(typed)));
        run.await;
        endpoint.wait_idle().await;
        Ok(())
    })
}
