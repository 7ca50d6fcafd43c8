//! One connection of a pool, from the look-up of its name to its end.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::{ConnectError, Target};
use aqueduct_core::error::CloseReason;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::pool::{AttemptId, ConnId, DialFailure, Origin, Plan, Route, Step as Next, Via};
use http::HeaderValue;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::TARGET;
use super::alternatives::alt_used;
use super::cancel::Cancel;
use super::hub::{Hub, Pooled};
use super::metrics::{self, Counter, End, Metric, Watch};
use super::proxy::{self, ClientProxy};
use super::runtime::Resolving;
use super::services::Services;
use crate::alarm::Alarm;
use crate::clock::now;
use crate::connection::Connection;
use crate::meter::Meter;
use crate::place::{ConnTopic, Place};
use crate::shared::{Step, wait_for};

type Attempting = Pin<Box<dyn Future<Output = Result<Connection, CloseReason>> + Send>>;

/// What a dial comes to.
pub(super) struct Dialed {
    pub(super) connection: Connection,
    /// The alternative that it leads to.
    pub(super) used: Option<HeaderValue>,
}

/// The task of a connection.
pub(crate) async fn run(hub: Arc<Hub>, id: ConnId, origin: Origin, cancel: Arc<Cancel>) {
    let span = tracing::debug_span!(
        target: TARGET, "handshake", %origin, connection = ?id, error = Empty
    );
    let mut cut_short = CutShort {
        hub: Arc::downgrade(&hub),
        id: Some(id),
    };
    let dialed = dial(&hub, id, &origin, &cancel).instrument(span).await;
    cut_short.id = None;
    let Some(Dialed { connection, used }) = dialed else {
        return hub.withdraw(id);
    };
    let counter = hub.settings.metrics.as_ref().map(|hook| {
        let counter: Arc<dyn Meter> = Arc::new(Counter::new(hook, &origin));
        connection.0.lock().conn(connection.0.at).meter = Some(counter.clone());
        counter
    });
    let watched = connection.clone();
    let pooled = Arc::new(Pooled {
        id,
        connection,
        used,
    });
    let wanted = hub.connected(&pooled);
    hub.withdraw(id);
    if !wanted {
        return pooled.connection.close(Code::H3_NO_ERROR, "");
    }
    drop(pooled);
    // The client may end before the task does.
    let client = Arc::downgrade(&hub);
    drop(hub);
    watch(client, id, &origin, &watched).await;
    if let Some(counter) = counter {
        watched.0.count_dropped(&counter);
    }
}

/// Tells the pool, when it is dropped, of a dial whose task has not come to its end: it
/// panicked in code of the application's (a resolver, a store of tickets), or its runtime is
/// gone.
struct CutShort {
    hub: Weak<Hub>,
    id: Option<ConnId>,
}

impl Drop for CutShort {
    fn drop(&mut self) {
        if let (Some(hub), Some(id)) = (self.hub.upgrade(), self.id) {
            let why = "its task was cut short";
            hub.dial_failed(id, DialFailure::NotBegun(why.into()));
            hub.withdraw(id);
        }
    }
}

/// A connection, unless the pool has been told why there is none, or wants none.
async fn dial(hub: &Arc<Hub>, id: ConnId, origin: &Origin, cancel: &Cancel) -> Option<Dialed> {
    let watch = Watch::handshake(&hub.settings.metrics, origin);
    let proxy = hub.settings.proxy.as_ref();
    let dialed = match proxy.filter(|proxy| !proxy.is(origin)) {
        Some(proxy) => cancel.unless(proxy::dial(hub, id, origin, proxy)).await,
        None => {
            let mut dialing = Dialing::new(hub, id, origin);
            let dialed = poll_fn(|cx| dialing.poll(hub, origin, cx));
            cancel.unless(dialed).await
        }
    };
    match dialed {
        None => {
            Span::current().record("error", "given up");
            None
        }
        Some(Err(failure)) => {
            Span::current().record("error", tracing::field::display(&failure));
            watch.ends(&End::NotDialed(&failure));
            hub.dial_failed(id, failure);
            None
        }
        Some(Ok(dialed)) => {
            watch.ends(&End::Done);
            Some(dialed)
        }
    }
}

/// Tells the pool what a connection tells, to its end.
async fn watch(hub: Weak<Hub>, id: ConnId, origin: &Origin, connection: &Connection) {
    let (mut drains, mut credits) = (None, 0);
    let conn = &connection.0;
    loop {
        let (closed, draining, credit) = wait_for(&conn.shared, |locked| {
            let entry = locked.conn(conn.at);
            let draining = entry.draining.filter(|_| drains.is_none());
            if entry.closed.is_some() || draining.is_some() || entry.credits != credits {
                return Step::Done((entry.closed.clone(), draining, entry.credits));
            }
            // The end and a GOAWAY wake those who wait for credit.
            Step::Wait(Place::Conn(conn.at, ConnTopic::credit(Dir::Bi)))
        })
        .await;
        let Some(hub) = hub.upgrade() else {
            return;
        };
        if let Some(by) = draining {
            drains = Some(tracing::debug_span!(
                target: TARGET, "draining", %origin, connection = ?id, ?by
            ));
            if let Some(hook) = &hub.settings.metrics {
                metrics::tell(&**hook, &Metric::Draining { origin, by });
            }
            match by {
                Side::Server => hub.goaway(id),
                Side::Client => hub.drained(id),
            }
        }
        if let Some(reason) = closed {
            return hub.closed(id, reason);
        }
        if credit != credits {
            credits = credit;
            hub.credit(id);
        }
    }
}

/// A plan that is carried out.
struct Dialing {
    id: ConnId,
    plan: Plan,
    lookups: Vec<(usize, Resolving)>,
    attempts: Vec<(AttemptId, usize, Attempting)>,
    services: Services,
    alarm: Alarm,
}

impl Dialing {
    fn new(hub: &Hub, id: ConnId, origin: &Origin) -> Self {
        let services = Services::new(hub.settings.resolver.as_deref(), origin);
        let known = hub.settings.alternatives.as_ref();
        let known = known.map_or_else(Vec::new, |known| known.lookup(origin));
        let mut config = hub.settings.plan;
        config.awaits_routes = services.are_awaited();
        let routes = Route::all(origin, &known, &[], None);
        Self {
            id,
            plan: Plan::new(now(), config, routes),
            services,
            lookups: Vec::new(),
            attempts: Vec::new(),
            alarm: Alarm::new(&hub.endpoint.shared),
        }
    }

    fn poll(
        &mut self,
        hub: &Hub,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Dialed, DialFailure>> {
        loop {
            while let Some(step) = self.plan.poll(now()) {
                match step {
                    Next::Resolve { route } => self.resolve(hub, route),
                    Next::Attempt {
                        attempt,
                        route,
                        address,
                    } => self.attempt(hub, origin, (attempt, route), address),
                    Next::Cancel { attempt } => self.attempts.retain(|(one, ..)| *one != attempt),
                    Next::Failed(failure) => return Poll::Ready(Err(failure)),
                    _ => {}
                }
            }
            if let Some(dialed) = self.poll_attempts(hub, origin, cx) {
                return Poll::Ready(Ok(dialed));
            }
            self.poll_lookups(hub, origin, cx);
            let resolver = hub.settings.resolver.as_deref();
            if let Poll::Ready(routes) = self.services.poll(resolver, origin, cx) {
                self.plan.handle_routes(now(), routes);
                continue;
            }
            let due = self.plan.poll_timeout().map(|deadline| deadline.at);
            // What has come meanwhile may have made it due.
            match due {
                Some(at) if self.alarm.poll(cx, at).is_ready() => {}
                Some(_) => return Poll::Pending,
                None if self.is_waiting() => {
                    self.alarm.clear();
                    return Poll::Pending;
                }
                None => {}
            }
        }
    }

    /// Whether the plan goes on only when something of this has come.
    fn is_waiting(&self) -> bool {
        !self.lookups.is_empty() || !self.attempts.is_empty() || self.services.are_awaited()
    }

    fn resolve(&mut self, hub: &Hub, number: usize) {
        let Some(route) = self.plan.route(number) else {
            return;
        };
        let resolving = match &hub.settings.resolver {
            Some(resolver) => resolver.resolve(&route.host, route.port),
            None => hub.runtime.resolve(&route.host, route.port),
        };
        self.lookups.push((number, resolving));
    }

    fn attempt(
        &mut self,
        hub: &Hub,
        origin: &Origin,
        (attempt, route): (AttemptId, usize),
        to: SocketAddr,
    ) {
        let settings = &hub.settings;
        if let Some(proxy) = settings.proxy.as_ref().filter(|proxy| proxy.is(origin)) {
            return self.attempt_carrier(hub, origin, (attempt, route), to, proxy);
        }
        let mut target = settings.target(to, origin);
        target.transport.clone_from(&settings.transport);
        tracing::trace!(%origin, %to, "connects");
        match hub.endpoint.connect_with(target) {
            Ok(connecting) => {
                hub.offer(self.id, origin, &connecting, self.used(origin, route));
                let attempting = Box::pin(connecting.established());
                self.attempts.push((attempt, route, attempting));
            }
            Err(error) => self.not_begun(hub, origin, (attempt, route), &error),
        }
    }

    /// An attempt to reach the proxy.
    fn attempt_carrier(
        &mut self,
        hub: &Hub,
        origin: &Origin,
        (attempt, route): (AttemptId, usize),
        to: SocketAddr,
        proxy: &ClientProxy,
    ) {
        let settings = &hub.settings;
        let tls = proxy.own_tls().unwrap_or(&settings.tls).clone();
        let mut target = Target::new(to, origin.host(), tls);
        // A ticket fits the trust that it was got with.
        if proxy.own_tls().is_none() {
            target.tickets.clone_from(&settings.tickets);
        }
        tracing::trace!(%origin, %to, "connects to the proxy");
        match hub.endpoint.connect_carrier(target) {
            Ok(attempting) => self.attempts.push((attempt, route, Box::pin(attempting))),
            Err(error) => self.not_begun(hub, origin, (attempt, route), &error),
        }
    }

    fn not_begun(
        &mut self,
        hub: &Hub,
        origin: &Origin,
        (attempt, route): (AttemptId, usize),
        error: &ConnectError,
    ) {
        let failure = DialFailure::NotBegun(error.to_string().into());
        self.failed(hub, origin, route);
        self.plan.handle_failed(now(), attempt, failure);
    }

    fn poll_attempts(
        &mut self,
        hub: &Hub,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) -> Option<Dialed> {
        let mut at = 0;
        while let Some((attempt, route, attempting)) = self.attempts.get_mut(at) {
            let (attempt, route) = (*attempt, *route);
            match attempting.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
                    drop(self.attempts.swap_remove(at));
                    match outcome {
                        Ok(connection) if self.plan.handle_connected(attempt) => {
                            self.won(hub, origin, route);
                            let used = self.used(origin, route);
                            return Some(Dialed { connection, used });
                        }
                        Ok(late) => late.close(Code::H3_NO_ERROR, ""),
                        Err(reason) => {
                            self.failed(hub, origin, route);
                            self.plan.handle_failed(now(), attempt, reason.into());
                        }
                    }
                }
            }
        }
        None
    }

    /// An attempt by this route is the connection; the others are given up, which is to
    /// say that they were overtaken.
    fn won(&mut self, hub: &Hub, origin: &Origin, winner: usize) {
        for (_, loser, _) in std::mem::take(&mut self.attempts) {
            if loser != winner {
                self.failed(hub, origin, loser);
            }
        }
        if let (Some(known), Some(Via::AltSvc(alternative))) =
            (&hub.settings.alternatives, self.via(winner))
        {
            known.worked(origin, alternative);
        }
    }

    /// There is no way by this route.
    fn failed(&self, hub: &Hub, origin: &Origin, route: usize) {
        if let (Some(known), Some(Via::AltSvc(alternative))) =
            (&hub.settings.alternatives, self.via(route))
        {
            tracing::debug!(%origin, ?alternative, "the alternative does not work");
            known.failed(origin, alternative);
        }
    }

    fn via(&self, route: usize) -> Option<&Via> {
        self.plan.route(route).map(|route| &route.via)
    }

    fn used(&self, origin: &Origin, route: usize) -> Option<HeaderValue> {
        let route = self.plan.route(route)?;
        match &route.via {
            Via::AltSvc(_) => alt_used(origin, &route.host, route.port),
            _ => None,
        }
    }

    fn poll_lookups(&mut self, hub: &Hub, origin: &Origin, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some((route, resolving)) = self.lookups.get_mut(at) {
            let route = *route;
            let Poll::Ready(answer) = resolving.as_mut().poll(cx) else {
                at += 1;
                continue;
            };
            drop(self.lookups.swap_remove(at));
            if !answer.as_ref().is_ok_and(|found| !found.is_empty()) {
                self.failed(hub, origin, route);
            }
            self.told(route, answer);
        }
    }

    fn told(&mut self, route: usize, answer: io::Result<Vec<SocketAddr>>) {
        match answer {
            Ok(addresses) => self.plan.handle_resolved(now(), route, &addresses),
            Err(error) => self.plan.handle_unresolved(route, &error.to_string()),
        }
    }
}
