//! A server with the session resources of `aqueduct serve --demo`.

use serde_json::json;
use url::Url;

use crate::peer::{
    Arguments, Cut, End, RecvHalf, Request, Result, SendHalf, Server, Session, Stack, say,
};

pub(crate) async fn run<S: Stack>(arguments: &Arguments) -> Result<()> {
    let mut server = S::listen(arguments).await?;
    say(&json!({ "ready": true, "address": server.address()?.to_string() }));
    loop {
        // A client that does not get as far as a request is no end of the server.
        match server.accept().await {
            Ok(request) => {
                let protocols = arguments.protocols.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = answer(request, &protocols).await {
                        say(&json!({ "event": "error", "message": error.to_string() }));
                    }
                });
            }
            Err(error) => say(&json!({ "event": "refused", "message": error.to_string() })),
        }
    }
}

async fn answer<R: Request>(request: R, spoken: &[String]) -> Result<()> {
    let target = Url::parse("https://peer/")?.join(&request.target())?;
    let query = |name: &str| {
        target
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|pair| pair.1)
    };
    let number = |name: &str| {
        query(name)
            .and_then(|value| value.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let offered = request.protocols();
    say(&json!({ "event": "session", "path": target.path(), "protocols": offered }));
    let chosen = offered
        .into_iter()
        .flatten()
        .find(|name| spoken.contains(name));
    match target.path() {
        "/echo" => {
            let session = request.accept(chosen).await?;
            ended(echo(&session).await);
        }
        "/close" => {
            let session = request.accept(chosen).await?;
            session
                .close(number("code"), &query("reason").unwrap_or_default())
                .await?;
        }
        "/reset" => {
            let session = request.accept(chosen).await?;
            let code = number("code");
            while let Ok((mut send, recv)) = session.accept_bi().await {
                send.reset(code)?;
                recv.stop(code)?;
            }
            ended(session.closed().await);
        }
        "/reject" => request.reject(number("status").try_into()?).await?,
        _ => request.reject(404).await?,
    }
    Ok(())
}

fn ended(end: End) {
    say(&match end {
        End::Closed(code, reason) => {
            json!({ "event": "session_closed", "code": code, "reason": reason })
        }
        End::Other(how) => json!({ "event": "session_closed", "code": null, "reason": how }),
    });
}

/// Sends everything back until the session ends.
async fn echo<S: Session>(session: &S) -> End {
    let local = session.clone();
    let bidi = tokio::task::spawn_local(async move {
        while let Ok((send, recv)) = local.accept_bi().await {
            tokio::task::spawn_local(copy(recv, send));
        }
    });
    let local = session.clone();
    let uni = tokio::task::spawn_local(async move {
        while let Ok(recv) = local.accept_uni().await {
            let local = local.clone();
            tokio::task::spawn_local(async move {
                if let Ok(send) = local.open_uni().await {
                    copy(recv, send).await;
                }
            });
        }
    });
    let local = session.clone();
    let datagrams = tokio::task::spawn_local(async move {
        while let Ok(payload) = local.recv_datagram().await {
            if let Err(error) = local.send_datagram(&payload) {
                say(&json!({ "event": "error", "message": error.to_string() }));
            }
        }
    });
    // No stream is accepted any more when the session is over. Waiting for that end meanwhile would
    // take streams from the others: one of the stacks has no other way.
    for task in [bidi, uni, datagrams] {
        let _ = task.await;
    }
    session.closed().await
}

async fn copy(mut recv: impl RecvHalf, mut send: impl SendHalf) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match recv.read(&mut buffer).await {
            Ok(Some(read)) => match send.write_all(&buffer[..read]).await {
                Ok(()) => {}
                Err(Cut::Code(code)) => {
                    return say(&json!({ "event": "stream_stopped", "code": code }));
                }
                Err(Cut::Other(_)) => return,
            },
            Ok(None) => {
                // The session may be over, which ends the echo too.
                let _ = send.finish().await;
                return;
            }
            Err(Cut::Code(code)) => return say(&json!({ "event": "stream_reset", "code": code })),
            Err(Cut::Other(_)) => return,
        }
    }
}
