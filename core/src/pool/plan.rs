//! Happy Eyeballs (RFC 8305): which addresses are tried, and when.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::action::DialFailure;
use super::route::{Route, Via};
use crate::time::{Deadline, Why, after};

/// The most routes that are tried, the first ones.
pub const MAX_ROUTES: usize = 8;

/// The times of a [`Plan`] (RFC 8305 §8), and its bounds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PlanConfig {
    /// How long addresses of the other family, or of a route that comes later, wait for
    /// better ones. Default 50 ms.
    pub resolution_delay: Duration,
    /// How long an attempt has before the next one begins beside it. Default 250 ms; less
    /// than 10 ms counts as 10.
    pub attempt_delay: Duration,
    /// The family that is tried first. Default IPv6.
    pub preferred: Family,
    /// Addresses of each family of each route that are tried, the resolver's first ones.
    /// Default 8.
    pub max_addresses: usize,
    /// [`Plan::handle_routes`] will tell what DNS says of services: it is waited for as for
    /// addresses. Default no.
    pub awaits_routes: bool,
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            resolution_delay: Duration::from_millis(50),
            attempt_delay: Duration::from_millis(250),
            preferred: Family::V6,
            max_addresses: 8,
            awaits_routes: false,
        }
    }
}

/// A family of addresses.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4: A records.
    V4,
    /// IPv6: AAAA records.
    V6,
}

impl Family {
    fn of(address: &SocketAddr) -> Self {
        match address.is_ipv6() {
            true => Self::V6,
            false => Self::V4,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    fn index(self) -> usize {
        usize::from(self == Self::V6)
    }
}

/// An attempt to connect, counted from 0 within its plan.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct AttemptId(pub(super) usize);

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Look the route's host up, both families at once, and tell
    /// [`Plan::handle_addresses`], [`Plan::handle_resolved`] or
    /// [`Plan::handle_unresolved`].
    Resolve {
        /// Its number: [`Plan::route`].
        route: usize,
    },
    /// Connect, and tell [`Plan::handle_connected`] or [`Plan::handle_failed`].
    Attempt {
        /// Its name.
        attempt: AttemptId,
        /// The route that it belongs to.
        route: usize,
        /// Where.
        address: SocketAddr,
    },
    /// Give the attempt up: another one has won.
    Cancel {
        /// Which.
        attempt: AttemptId,
    },
    /// Nothing is left to try; why the last attempt failed. Told once.
    Failed(DialFailure),
}

/// One try to reach an origin, at any of its addresses.
///
/// ```text
///   Resolve ─▶ addresses ─▶ Attempt, Attempt .. ─▶ handle_connected ─▶ Cancel the others
///                 │ none            │ all failed
///                 └───────▶ Failed ◀┘
/// ```
///
/// Take its steps with [`Self::poll`] until there are none, tell what comes of them, and
/// come back at [`Self::poll_timeout`]. It ends by itself only when all has failed: the
/// caller has a time for the whole, as a pool's
/// [`connect_timeout`](super::OriginConfig::connect_timeout).
///
/// Everything is bounded: [`MAX_ROUTES`], [`PlanConfig::max_addresses`]. Calls are
/// O(addresses).
#[derive(Clone, Debug)]
pub struct Plan {
    config: PlanConfig,
    routes: Vec<Places>,
    /// Numbers of routes, in the order in which they are tried.
    order: Vec<usize>,
    steps: VecDeque<Step>,
    tried: BTreeSet<SocketAddr>,
    attempts: usize,
    /// Those that are under way.
    running: BTreeSet<AttemptId>,
    /// When the first address was known.
    first: Option<Instant>,
    /// Before it no attempt is begun beside another.
    next: Option<Instant>,
    last: Option<DialFailure>,
    awaits_routes: bool,
    over: bool,
}

/// A route with what is known of its addresses.
#[derive(Clone, Debug)]
struct Places {
    route: Route,
    /// By [`Family::index`].
    known: [VecDeque<SocketAddr>; 2],
    answered: [bool; 2],
    taken: [usize; 2],
    latest: Option<Family>,
}

impl Plan {
    /// A plan for the routes of an origin, the best first ([`Route::all`]).
    #[must_use]
    pub fn new(now: Instant, config: PlanConfig, routes: Vec<Route>) -> Self {
        let mut plan = Self {
            awaits_routes: config.awaits_routes,
            config,
            routes: Vec::new(),
            order: Vec::new(),
            steps: VecDeque::new(),
            tried: BTreeSet::new(),
            attempts: 0,
            running: BTreeSet::new(),
            first: None,
            next: None,
            last: None,
            over: false,
        };
        for route in routes {
            plan.add(now, route, None);
        }
        plan
    }

    /// Places that became known later, of HTTPS records: they are tried before the
    /// origin's own. Empty if there are none.
    pub fn handle_routes(&mut self, now: Instant, routes: Vec<Route>) {
        self.awaits_routes = false;
        for route in routes {
            let known = |places: &Places| {
                (&places.route.host, places.route.port) == (&route.host, route.port)
            };
            if let Some(places) = self.routes.iter_mut().find(|places| known(places)) {
                let hints = route.hints.iter().map(|hint| SocketAddr::new(*hint, 0));
                for hint in hints.collect::<Vec<_>>() {
                    places.add(&self.config, hint);
                }
                continue;
            }
            let routes = &self.routes;
            let own = self.order.iter().position(|at| {
                let own = routes.get(*at);
                own.is_some_and(|places| places.route.via == Via::Origin)
            });
            self.add(now, route, own);
        }
        self.note_first(now);
    }

    fn add(&mut self, now: Instant, route: Route, before: Option<usize>) {
        if self.routes.len() >= MAX_ROUTES || self.over {
            return;
        }
        let number = self.routes.len();
        let literal = route.host.parse::<IpAddr>().ok();
        let mut places = Places {
            known: Default::default(),
            answered: [literal.is_some(); 2],
            taken: [0; 2],
            latest: None,
            route,
        };
        let hints = std::mem::take(&mut places.route.hints);
        for address in literal.iter().chain(&hints) {
            places.add(&self.config, SocketAddr::new(*address, 0));
        }
        places.route.hints = hints;
        if literal.is_none() {
            self.steps.push_back(Step::Resolve { route: number });
        }
        self.routes.push(places);
        let at = before.unwrap_or(self.order.len());
        self.order.insert(at, number);
        self.note_first(now);
    }

    /// A route by its number.
    #[must_use]
    pub fn route(&self, number: usize) -> Option<&Route> {
        self.routes.get(number).map(|places| &places.route)
    }

    /// The answer for one family; empty if there are none. Ports count for nothing.
    pub fn handle_addresses(
        &mut self,
        now: Instant,
        route: usize,
        family: Family,
        addresses: &[SocketAddr],
    ) {
        let Some(places) = self.routes.get_mut(route) else {
            return;
        };
        for address in addresses.iter().filter(|one| Family::of(one) == family) {
            places.add(&self.config, *address);
        }
        if let Some(answered) = places.answered.get_mut(family.index()) {
            *answered = true;
        }
        self.note_first(now);
    }

    /// The answer of a resolver that gives both families at once.
    pub fn handle_resolved(&mut self, now: Instant, route: usize, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return self.handle_unresolved(route, "the name has no address");
        }
        for family in [Family::V6, Family::V4] {
            self.handle_addresses(now, route, family, addresses);
        }
    }

    /// There is no address of the route's host, or none besides those that were told.
    pub fn handle_unresolved(&mut self, route: usize, words: &str) {
        if let Some(places) = self.routes.get_mut(route) {
            places.answered = [true; 2];
            // That an address was tried and failed says more.
            let words = || DialFailure::Resolve(words.into());
            self.last = self.last.take().or_else(|| Some(words()));
        }
    }

    /// An attempt failed: the next one begins at once.
    pub fn handle_failed(&mut self, now: Instant, attempt: AttemptId, failure: DialFailure) {
        if self.running.remove(&attempt) {
            self.last = Some(failure);
            self.next = self.next.map(|next| next.min(now));
        }
    }

    /// An attempt succeeded. True if it is the first: the others are given up. False if it
    /// came too late: it is to be closed.
    #[must_use = "a connection that came too late is to be closed"]
    pub fn handle_connected(&mut self, attempt: AttemptId) -> bool {
        if self.over || !self.running.remove(&attempt) {
            return false;
        }
        self.over = true;
        self.steps.clear();
        while let Some(attempt) = self.running.pop_first() {
            self.steps.push_back(Step::Cancel { attempt });
        }
        true
    }

    /// Gives everything up.
    pub fn cancel(&mut self) {
        self.over = true;
        self.steps.clear();
        while let Some(attempt) = self.running.pop_first() {
            self.steps.push_back(Step::Cancel { attempt });
        }
    }

    /// Whether it has come to its end, one way or another.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What is to be done next, if anything is.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if self.over {
            return None;
        }
        self.drop_tried();
        if self.begins().is_some_and(|at| at <= now)
            && let Some((route, address)) = self.pick()
        {
            let attempt = AttemptId(self.attempts);
            self.attempts += 1;
            self.running.insert(attempt);
            self.tried.insert(address);
            let delay = self.config.attempt_delay.max(Duration::from_millis(10));
            self.next = Some(after(now, delay));
            return Some(Step::Attempt {
                attempt,
                route,
                address,
            });
        }
        let answered = self.routes.iter().all(Places::is_answered);
        if !self.running.is_empty() || self.has_candidates() || !answered || self.awaits_routes {
            return None;
        }
        self.over = true;
        let none = || DialFailure::Resolve("there is no address to try".into());
        Some(Step::Failed(self.last.take().unwrap_or_else(none)))
    }

    /// When [`Self::poll`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let at = self.begins().filter(|_| !self.over)?;
        let why = Why::Attempt;
        Some(Deadline { at, why })
    }

    // ---- when, and where --------------------------------------------------------

    /// When the next attempt may begin, if there is an address for it.
    fn begins(&self) -> Option<Instant> {
        let first = self.first.filter(|_| self.has_candidates())?;
        if let Some(next) = self.next {
            return Some(next);
        }
        //= https://www.rfc-editor.org/rfc/rfc8305#section-3
        // Addresses of the other family wait a little for those of the preferred one.
        Some(match self.knows_the_best() {
            true => first,
            false => after(first, self.config.resolution_delay),
        })
    }

    /// Whether no answer that is missing could put another address first.
    fn knows_the_best(&self) -> bool {
        if self.awaits_routes {
            return false;
        }
        let preferred = self.config.preferred;
        for places in self.order.iter().filter_map(|at| self.routes.get(*at)) {
            if places.has(preferred) {
                return true;
            }
            if !places.answered.get(preferred.index()).is_some_and(|is| *is) {
                return false;
            }
            if places.has(preferred.other()) {
                return true;
            }
            if !places.is_answered() {
                return false;
            }
        }
        true
    }

    /// The next address: of the best route that has one, the families in turn.
    fn pick(&mut self) -> Option<(usize, SocketAddr)> {
        for number in &self.order {
            let Some(places) = self.routes.get_mut(*number) else {
                continue;
            };
            //= https://www.rfc-editor.org/rfc/rfc8305#section-4
            // Families take turns.
            let turn = match places.latest {
                Some(latest) => latest.other(),
                None => self.config.preferred,
            };
            for family in [turn, turn.other()] {
                if let Some(address) = places.take(family) {
                    return Some((*number, address));
                }
            }
        }
        None
    }

    /// Two routes may lead to one address, which is tried once.
    fn drop_tried(&mut self) {
        for places in &mut self.routes {
            for known in &mut places.known {
                known.retain(|address| !self.tried.contains(address));
            }
        }
    }

    fn has_candidates(&self) -> bool {
        self.routes.iter().any(Places::has_any)
    }

    fn note_first(&mut self, now: Instant) {
        if self.first.is_none() && self.has_candidates() {
            self.first = Some(now);
        }
    }
}

impl Places {
    fn add(&mut self, config: &PlanConfig, mut address: SocketAddr) {
        address.set_port(self.route.port);
        let at = Family::of(&address).index();
        let (Some(known), Some(taken)) = (self.known.get_mut(at), self.taken.get(at)) else {
            return;
        };
        if known.len() + taken < config.max_addresses && !known.contains(&address) {
            known.push_back(address);
        }
    }

    fn take(&mut self, family: Family) -> Option<SocketAddr> {
        let address = self.known.get_mut(family.index())?.pop_front()?;
        if let Some(taken) = self.taken.get_mut(family.index()) {
            *taken += 1;
        }
        self.latest = Some(family);
        Some(address)
    }

    fn has(&self, family: Family) -> bool {
        let known = self.known.get(family.index());
        known.is_some_and(|known| !known.is_empty())
    }

    fn has_any(&self) -> bool {
        self.known.iter().any(|known| !known.is_empty())
    }

    fn is_answered(&self) -> bool {
        self.answered.iter().all(|answered| *answered)
    }
}

#[cfg(test)]
mod tests;
