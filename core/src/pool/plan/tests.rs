//! Happy Eyeballs, on virtual time.

use super::*;
use crate::pool::tests::epoch;
use crate::pool::{Alternative, Origin};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn v6(last: u16) -> SocketAddr {
    format!("[2001:db8::{last:x}]:1")
        .parse()
        .expect("an address")
}

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 1))
}

/// A plan with a clock.
struct Try {
    plan: Plan,
    start: Instant,
    now: Instant,
}

impl Try {
    fn new(config: PlanConfig, routes: Vec<Route>) -> Self {
        let now = epoch();
        let plan = Plan::new(now, config, routes);
        Self {
            plan,
            start: now,
            now,
        }
    }

    fn of(host: &str) -> Self {
        let origin: Origin = format!("https://{host}").parse().expect("an origin");
        Self::new(PlanConfig::default(), vec![Route::origin(&origin)])
    }

    /// All steps at present, with addresses and attempts shown.
    fn steps(&mut self) -> Vec<String> {
        let steps = std::iter::from_fn(|| self.plan.poll(self.now));
        let show = |step| match step {
            Step::Resolve { route } => format!("resolve {route}"),
            Step::Attempt {
                attempt, address, ..
            } => format!("{} {address}", attempt.0),
            Step::Cancel { attempt } => format!("cancel {}", attempt.0),
            Step::Failed(failure) => format!("failed: {failure}"),
        };
        steps.map(show).collect()
    }

    /// The steps until then, each with its time.
    fn until(&mut self, millis: u64) -> Vec<(u64, String)> {
        let until = self.start + ms(millis);
        let mut all = Vec::new();
        loop {
            let at = self.now.duration_since(self.start).as_millis() as u64;
            all.extend(self.steps().into_iter().map(|step| (at, step)));
            match self.plan.poll_timeout().map(|due| due.at) {
                Some(due) if due <= until => self.now = self.now.max(due),
                _ => break,
            }
        }
        self.now = until;
        all
    }

    fn know(&mut self, route: usize, family: Family, addresses: &[SocketAddr]) {
        self.plan
            .handle_addresses(self.now, route, family, addresses);
    }

    fn fail(&mut self, attempt: usize) {
        let failure = DialFailure::TimedOut;
        self.plan
            .handle_failed(self.now, AttemptId(attempt), failure);
    }
}

fn told(steps: &[(u64, String)]) -> Vec<(u64, &str)> {
    steps
        .iter()
        .map(|(at, step)| (*at, step.as_str()))
        .collect()
}

/// RFC 8305 section 4: families take turns, IPv6 first; section 5: an attempt has 250 ms.
#[test]
fn families_take_turns_a_quarter_second_apart() {
    let mut one = Try::of("a.example");
    assert_eq!(one.steps(), ["resolve 0"]);
    one.plan
        .handle_resolved(one.now, 0, &[v4(1), v4(2), v6(1), v6(2), v6(3)]);
    assert_eq!(
        told(&one.until(1_500)),
        [
            (0, "0 [2001:db8::1]:443"),
            (250, "1 192.0.2.1:443"),
            (500, "2 [2001:db8::2]:443"),
            (750, "3 192.0.2.2:443"),
            (1_000, "4 [2001:db8::3]:443"),
        ]
    );
    assert!(!one.plan.is_over(), "five are under way");
}

/// RFC 8305 section 3: A answers wait 50 ms for AAAA, and no longer.
#[test]
fn addresses_of_ipv4_wait_a_little_for_those_of_ipv6() {
    let mut late = Try::of("a.example");
    late.steps();
    late.know(0, Family::V4, &[v4(1)]);
    assert_eq!(told(&late.until(49)), []);
    assert_eq!(told(&late.until(60)), [(50, "0 192.0.2.1:443")]);
    // What comes after that is tried in its turn.
    late.know(0, Family::V6, &[v6(1)]);
    assert_eq!(told(&late.until(400)), [(300, "1 [2001:db8::1]:443")]);

    let mut in_time = Try::of("a.example");
    in_time.steps();
    in_time.know(0, Family::V4, &[v4(1)]);
    in_time.until(30);
    in_time.know(0, Family::V6, &[v6(1)]);
    let told_first = in_time.until(31);
    assert_eq!(told(&told_first), [(30, "0 [2001:db8::1]:443")]);

    let mut none = Try::of("a.example");
    none.steps();
    none.know(0, Family::V4, &[v4(1)]);
    none.know(0, Family::V6, &[]);
    assert_eq!(
        none.steps(),
        ["0 192.0.2.1:443"],
        "there is nothing to wait for"
    );

    let mut at_once = Try::of("a.example");
    at_once.steps();
    at_once.know(0, Family::V6, &[v6(1)]);
    assert_eq!(
        at_once.steps(),
        ["0 [2001:db8::1]:443"],
        "A is not waited for"
    );
}

/// RFC 8305 section 5: the winner ends the others, and a late one is told so.
#[test]
fn the_winner_ends_the_others() {
    let mut one = Try::of("a.example");
    one.steps();
    one.plan
        .handle_resolved(one.now, 0, &[v6(1), v4(1), v6(2), v4(2)]);
    one.until(600);
    assert!(one.plan.handle_connected(AttemptId(1)));
    assert_eq!(one.steps(), ["cancel 0", "cancel 2"]);
    assert!(!one.plan.handle_connected(AttemptId(0)), "too late");
    assert!(!one.plan.handle_connected(AttemptId(1)), "twice");
    assert_eq!(told(&one.until(10_000)), []);
    assert!(one.plan.is_over() && one.plan.poll_timeout().is_none());
}

#[test]
fn a_failure_begins_the_next_attempt_at_once_and_the_last_ends_the_plan() {
    let mut one = Try::of("a.example");
    one.steps();
    one.plan.handle_resolved(one.now, 0, &[v6(1), v4(1)]);
    assert_eq!(one.steps(), ["0 [2001:db8::1]:443"]);
    one.until(20);
    one.fail(0);
    assert_eq!(one.steps(), ["1 192.0.2.1:443"]);
    one.fail(1);
    assert_eq!(
        one.steps(),
        ["failed: no connection within the time for it"]
    );
    one.fail(1);
    assert_eq!(told(&one.until(5_000)), [], "told once");

    let mut nowhere = Try::of("a.example");
    nowhere.steps();
    nowhere.plan.handle_unresolved(0, "NXDOMAIN");
    assert_eq!(nowhere.steps(), ["failed: no address: NXDOMAIN"]);
    let mut empty = Try::of("a.example");
    empty.steps();
    empty.plan.handle_resolved(empty.now, 0, &[]);
    assert_eq!(
        empty.steps(),
        ["failed: no address: the name has no address"]
    );
    let mut nothing = Try::new(PlanConfig::default(), Vec::new());
    assert_eq!(
        nothing.steps(),
        ["failed: no address: there is no address to try"]
    );
}

#[test]
fn an_address_needs_no_resolver() {
    assert_eq!(Try::of("192.0.2.9:8443").steps(), ["0 192.0.2.9:8443"]);
    assert_eq!(Try::of("[2001:db8::9]").steps(), ["0 [2001:db8::9]:443"]);
}

/// Row D18: the alternative is tried first, and the origin when that fails.
#[test]
fn an_alternative_goes_before_the_origin() {
    let origin: Origin = "https://a.example".parse().expect("an origin");
    let alternative = Alternative::h3(8443).host("alt.example");
    let routes = Route::all(&origin, [&alternative], &[], None);
    let mut one = Try::new(PlanConfig::default(), routes);
    assert_eq!(one.steps(), ["resolve 0", "resolve 1"]);
    assert_eq!(
        one.plan.route(0).map(|route| &*route.host),
        Some("alt.example")
    );
    // The origin's own addresses wait a little for the alternative's.
    one.plan.handle_resolved(one.now, 1, &[v6(7)]);
    assert_eq!(told(&one.until(40)), []);
    one.plan.handle_resolved(one.now, 0, &[v6(1), v4(1)]);
    let steps = one.until(600);
    let expected = [
        (40, "0 [2001:db8::1]:8443"),
        (290, "1 192.0.2.1:8443"),
        (540, "2 [2001:db8::7]:443"),
    ];
    assert_eq!(told(&steps), expected);
}

#[test]
fn an_address_of_two_routes_is_tried_once() {
    let origin: Origin = "https://a.example".parse().expect("an origin");
    let alternative = Alternative::h3(443).host("alt.example");
    let routes = Route::all(&origin, [&alternative], &[], None);
    let mut one = Try::new(PlanConfig::default(), routes);
    one.steps();
    for route in [0, 1] {
        one.plan.handle_resolved(one.now, route, &[v6(1)]);
    }
    assert_eq!(told(&one.until(1_000)), [(0, "0 [2001:db8::1]:443")]);
    one.fail(0);
    assert_eq!(one.steps().len(), 1, "that was all");
    assert!(one.plan.is_over());
}

/// RFC 9460 section 7.3: hints are used before the name is resolved; section 3: records
/// are waited for no longer than addresses are.
#[test]
fn records_bring_routes_and_hints() {
    let origin: Origin = "https://a.example".parse().expect("an origin");
    let config = PlanConfig {
        awaits_routes: true,
        ..PlanConfig::default()
    };
    let mut one = Try::new(config, vec![Route::origin(&origin)]);
    one.steps();
    one.know(0, Family::V6, &[v6(1)]);
    assert_eq!(told(&one.until(20)), [], "a record may say better");
    let mut better = Route::origin(&origin);
    (better.port, better.via) = (8443, Via::Https(1));
    better.hints = vec![v6(9).ip()];
    one.plan.handle_routes(one.now, vec![better]);
    assert_eq!(one.steps(), ["resolve 1", "0 [2001:db8::9]:8443"]);
    assert_eq!(told(&one.until(300)), [(270, "1 [2001:db8::1]:443")]);

    let mut silent = Try::new(config, vec![Route::origin(&origin)]);
    silent.steps();
    silent.know(0, Family::V6, &[v6(1)]);
    assert_eq!(told(&silent.until(60)), [(50, "0 [2001:db8::1]:443")]);
    silent.fail(0);
    silent.plan.handle_unresolved(0, "");
    assert_eq!(silent.steps().len(), 0, "a record may still come");
    silent.plan.handle_routes(silent.now, Vec::new());
    assert_eq!(
        silent.steps(),
        ["failed: no connection within the time for it"]
    );
}

#[test]
fn what_a_resolver_says_is_bounded() {
    let many: Vec<_> = (0..200).map(v6).chain((0..200).map(v4)).collect();
    let mut one = Try::of("a.example");
    one.steps();
    one.plan.handle_resolved(one.now, 0, &many);
    one.plan.handle_resolved(one.now, 0, &many);
    let steps = one.until(60_000);
    one.know(0, Family::V6, &[v6(1_000)]);
    assert_eq!(steps.len(), 16);
    assert_eq!(
        one.steps().len(),
        0,
        "an answer that comes twice adds nothing"
    );
    let origin: Origin = "https://a.example".parse().expect("an origin");
    let routes = (1..100).map(|port| {
        let mut route = Route::origin(&origin);
        route.port = port;
        route
    });
    let mut wide = Try::new(PlanConfig::default(), routes.collect());
    assert_eq!(wide.steps().len(), MAX_ROUTES);
    wide.know(MAX_ROUTES, Family::V6, &[v6(1)]);
    wide.plan.handle_unresolved(usize::MAX, "no such route");
    wide.plan.cancel();
    assert!(wide.plan.is_over() && wide.steps().is_empty());
}
