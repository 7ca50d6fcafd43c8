//! The cases of a client. Each prints what it saw.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::peer::{
    Arguments, Connected, Cut, End, RecvHalf, Result, SendHalf, Session, Stack, say,
};

pub(crate) async fn run<S: Stack>(case: &str, arguments: &Arguments) -> Result<()> {
    let session = match S::connect(arguments).await? {
        Connected::Session(session) => session,
        Connected::Rejected(status) if case == "connect" => {
            say(&json!({ "accepted": false, "status": status }));
            return Ok(());
        }
        Connected::Rejected(status) => return Err(format!("rejected with {status:?}").into()),
    };
    match case {
        "connect" => say(&json!({ "accepted": true, "protocol": session.protocol() })),
        "bidi" => bidi(&session, arguments.number("size")?).await?,
        "uni" => uni(&session, arguments.number("size")?).await?,
        "datagram" => datagram(&session, arguments.number("size")?).await?,
        "push" => push(&session).await?,
        "closed" => return closed(&session).await,
        "close" => {
            bidi(&session, 10).await?;
            session
                .close(arguments.number("code")?, arguments.text("reason")?)
                .await?;
            return Ok(());
        }
        "given-up" => given_up(&session).await?,
        "give-up" => {
            give_up(
                &session,
                arguments.number("reset")?,
                arguments.number("stop")?,
            )
            .await?;
        }
        other => return Err(format!("no such case: {other}").into()),
    }
    session.close(0, "").await
}

/// Bytes that repeat nowhere near a frame or packet size.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 12345_u32;
    let next = |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        state.to_be_bytes()[0]
    };
    (0..size).map(next).collect()
}

async fn write(mut send: impl SendHalf, bytes: &[u8]) -> Result<()> {
    send.write_all(bytes).await?;
    Ok(send.finish().await?)
}

async fn bidi<S: Session>(session: &S, size: usize) -> Result<()> {
    let sent = noise(size);
    let (send, mut recv) = session.open_bi().await?;
    let read = async { Ok(recv.read_all().await?) };
    let ((), back) = tokio::try_join!(write(send, &sent), read)?;
    same(&back, &sent)
}

async fn uni<S: Session>(session: &S, size: usize) -> Result<()> {
    let sent = noise(size);
    let send = session.open_uni().await?;
    let read = async { Ok(session.accept_uni().await?.read_all().await?) };
    let ((), back) = tokio::try_join!(write(send, &sent), read)?;
    same(&back, &sent)
}

fn same(back: &[u8], sent: &[u8]) -> Result<()> {
    if back != sent {
        return Err(format!("{} bytes sent, {} other bytes back", sent.len(), back.len()).into());
    }
    say(&json!({ "echoed": sent.len() }));
    Ok(())
}

/// Datagrams may be lost: one of five must come back.
async fn datagram<S: Session>(session: &S, size: usize) -> Result<()> {
    let sent = noise(size);
    for _ in 0..5 {
        session.send_datagram(&sent)?;
        if let Ok(back) = timeout(Duration::from_secs(1), session.recv_datagram()).await {
            return same(&back?, &sent);
        }
    }
    Err(format!("five datagrams of {} bytes, no echo", sent.len()).into())
}

/// What a server opens by itself.
async fn push<S: Session>(session: &S) -> Result<()> {
    let ((_send, mut bidi), mut uni, datagram) = tokio::try_join!(
        session.accept_bi(),
        session.accept_uni(),
        session.recv_datagram()
    )?;
    let (bidi, uni) = (bidi.read_all().await?, uni.read_all().await?);
    say(&json!({ "bidi": bidi.len(), "uni": uni.len(), "datagram": datagram.len() }));
    Ok(())
}

/// Waits for the server to end the session.
async fn closed<S: Session>(session: &S) -> Result<()> {
    match session.closed().await {
        End::Closed(code, reason) => say(&json!({ "code": code, "reason": reason })),
        End::Other(how) => return Err(format!("not closed with a code: {how}").into()),
    }
    Ok(())
}

/// Waits for the server to reset one half of a stream and to stop the other.
async fn given_up<S: Session>(session: &S) -> Result<()> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"hello").await?;
    let reset = match recv.read_all().await {
        Err(Cut::Code(code)) => code,
        Err(Cut::Other(error)) => return Err(error),
        Ok(bytes) => return Err(format!("{} bytes and no reset", bytes.len()).into()),
    };
    let stopped = send.stopped().await?;
    say(&json!({ "reset": reset, "stopped": stopped }));
    Ok(())
}

/// Resets and stops a stream that the server echoes; another one still works.
async fn give_up<S: Session>(session: &S, reset: u32, stop: u32) -> Result<()> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"hello").await?;
    let mut back = [0; 5];
    let mut read = 0;
    while read < back.len() {
        read += recv
            .read(&mut back[read..])
            .await?
            .ok_or("the echo ended")?;
    }
    recv.stop(stop)?;
    send.reset(reset)?;
    bidi(session, 1000).await
}
