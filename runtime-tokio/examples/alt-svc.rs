//! Asks an origin for a page where its `alt-svc` field says that it speaks HTTP/3, as a client does
//! that was told so over TCP: parser, cache, routes and plan of the pool, with sockets of tokio.
//!
//! alt-svc https://a.example/ 'h3=":8443"; ma=3600' HASH

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant, SystemTime};

use aqueduct_tokio::http::Uri;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::pool::{
    AltSvc, AltSvcCache, AltSvcLimits, AttemptId, DialFailure, Origin, Plan, PlanConfig, Route,
    Step, Via,
};
use aqueduct_tokio::tls::rustls::ClientConfig;
use aqueduct_tokio::tls::{self, Trust};
use aqueduct_tokio::{Connection, Endpoint};
use tokio::task::{AbortHandle, JoinSet};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Attempts = JoinSet<(AttemptId, usize, Result<Connection, CloseReason>)>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [uri, field, hash] = &args[..] else {
        return Err("which URI, which alt-svc, which hash?".into());
    };
    let uri: Uri = uri.parse()?;
    let host = uri.host().ok_or("which host?")?;
    let origin = Origin::new(host, uri.port_u16().unwrap_or(443))?;

    let (now, wall) = (Instant::now(), SystemTime::now());
    let mut cache = AltSvcCache::new(AltSvcLimits::default());
    let field = AltSvc::parse(field.as_bytes())?;
    cache.store(now, &origin, &field, Duration::ZERO);
    // What a program writes down when it ends, and reads when it begins again.
    let kept = cache.export(now, wall);
    let mut cache = AltSvcCache::new(AltSvcLimits::default());
    cache.import(now, wall, kept);

    let routes = Route::all(&origin, cache.lookup(now, &origin), &[], None);
    let tls = tls::client_config(Trust::hashes([hash.parse()?]))?;
    let dialed = tokio::time::timeout(Duration::from_secs(10), dial(&origin, routes, tls));
    let (connection, route) = dialed.await??;
    if let Via::AltSvc(alternative) = &route.via {
        cache.worked(&origin, alternative);
    }
    let via = match &route.via {
        Via::AltSvc(_) => "alt-svc",
        _ => "the origin itself",
    };
    println!("{origin} is at {}:{}, by {via}", route.host, route.port);
    let mut page = connection.get(uri).await?;
    println!("{}", page.recv_response().await?.status());
    print!(
        "{}",
        String::from_utf8(page.read_to_end(1 << 20).await?.into())?
    );
    connection.close(Code::H3_NO_ERROR, "");
    Ok(())
}

/// The first connection that a plan leads to, and the place where it is.
async fn dial(
    origin: &Origin,
    routes: Vec<Route>,
    tls: ClientConfig,
) -> Result<(Connection, Route), Failure> {
    let tls = std::sync::Arc::new(tls);
    let endpoint = Endpoint::client("[::]:0".parse()?)?;
    let mut plan = Plan::new(Instant::now(), PlanConfig::default(), routes);
    let (mut attempts, mut handles) =
        (Attempts::new(), VecDeque::<(AttemptId, AbortHandle)>::new());
    loop {
        while let Some(step) = plan.poll(Instant::now()) {
            match step {
                Step::Resolve { route } => {
                    let Some(place) = plan.route(route) else {
                        continue;
                    };
                    let host = (&*place.host, place.port);
                    let found = tokio::net::lookup_host(host).await.map(Vec::from_iter);
                    match found {
                        Ok(found) => plan.handle_resolved(Instant::now(), route, &found),
                        Err(error) => plan.handle_unresolved(route, &error.to_string()),
                    }
                }
                Step::Attempt {
                    attempt,
                    route,
                    address,
                } => match endpoint.connect(address, origin.host(), tls.clone()) {
                    Ok(connecting) => {
                        let connected = async move { (attempt, route, connecting.await) };
                        handles.push_back((attempt, attempts.spawn(connected)));
                    }
                    Err(error) => {
                        let failure = DialFailure::NotBegun(error.to_string().into());
                        plan.handle_failed(Instant::now(), attempt, failure);
                    }
                },
                Step::Cancel { attempt } => {
                    for (_, handle) in handles.iter().filter(|(one, _)| *one == attempt) {
                        handle.abort();
                    }
                }
                Step::Failed(failure) => return Err(failure.into()),
                _ => {}
            }
        }
        let due = plan.poll_timeout().map(|deadline| deadline.at);
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            Some(Ok((attempt, route, outcome))) = attempts.join_next() => match outcome {
                Ok(connection) if plan.handle_connected(attempt) => {
                    let route = plan.route(route).ok_or("no such route")?.clone();
                    return Ok((connection, route));
                }
                Ok(late) => late.close(Code::H3_NO_ERROR, ""),
                Err(reason) => plan.handle_failed(Instant::now(), attempt, reason.into()),
            }
        }
    }
}
