//! The chat on smol and on async-std, which differ in how a task is spawned.

use std::net::SocketAddr;
use std::pin::Pin;

use aqueduct_async_std::Endpoint;
use aqueduct_core::endpoint::{EndpointConfig, Target};

use crate::room::Room;
use crate::visitor::Visitor;
use crate::{Result, any, read_keyboard};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns a task.
type Spawn = fn(Task);

pub(crate) fn smol() -> Spawn {
    |task| smol::spawn(task).detach()
}

pub(crate) fn async_std() -> Spawn {
    |task| drop(async_std::task::spawn(task))
}

pub(crate) fn serve(config: EndpointConfig, address: SocketAddr, spawn: Spawn) -> Result<()> {
    let endpoint = Endpoint::server(config, address, spawn)?;
    println!("chat at {}", endpoint.local_addr());
    let room = Room::default();
    let member = |mailbox: aqueduct_async_std::Mailbox<_>| {
        room.member(Box::new(move |said| drop(mailbox.try_send(said))))
    };
    let task = |run| {
        spawn(Box::pin(
            async move { drop::<crate::room::Member>(run.await) },
        ));
    };
    smol::block_on(endpoint.serve_quic(member, task));
    Ok(())
}

pub(crate) fn join(target: Target, name: &str, spawn: Spawn) -> Result<()> {
    let endpoint = Endpoint::client(any(&target), spawn)?;
    let run = endpoint.connect_quic(target)?.run(Visitor::new(name));
    let mailbox = run.mailbox();
    read_keyboard(move |typed| drop(mailbox.try_send(typed)));
    smol::block_on(async {
        run.await;
        endpoint.wait_idle().await;
    });
    Ok(())
}
