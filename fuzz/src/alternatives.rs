//! What strangers say of where an origin is: the `alt-svc` field and HTTPS records. What
//! was read is within its bounds, and the plan that comes of it ends.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use aqueduct_core::pool::{
    AltSvc, AltSvcCache, AltSvcLimits, DialFailure, Family, HttpsRecord, MAX_ALTERNATIVES,
    MAX_ROUTES, Origin, Plan, PlanConfig, Route, Step,
};
use aqueduct_core::testing::epoch;

use crate::input::Input;

/// Reads the input as a field, as a record, and as several records that make a plan.
pub fn target(data: &[u8]) {
    let origin = Origin::new("a.example", 443).expect("an origin");
    let mut cache = AltSvcCache::new(AltSvcLimits::default());
    let (now, wall) = (epoch(), SystemTime::UNIX_EPOCH);
    let mut fields = vec![data];
    fields.extend(data.split(|byte| *byte == b'\n').take(4));
    for field in fields {
        if let Ok(field) = AltSvc::parse(field) {
            if let AltSvc::Services(services) = &field {
                assert!((1..=MAX_ALTERNATIVES).contains(&services.len()));
                for one in services {
                    assert!(one.port != 0 && !one.protocol.is_empty());
                    assert!(one.host.as_deref().is_none_or(|host| !host.is_empty()));
                }
            }
            cache.store(now, &origin, &field, Duration::ZERO);
        }
    }
    // What is kept is the same when it comes back.
    let mut again = AltSvcCache::new(AltSvcLimits::default());
    again.import(now, wall, cache.export(now, wall));
    let of = |cache: &AltSvcCache| cache.lookup(now, &origin).cloned().collect::<Vec<_>>();
    assert_eq!(of(&again), of(&cache));

    let mut input = Input::new(data);
    let mut records: Vec<_> = HttpsRecord::parse(data).into_iter().collect();
    while !input.is_empty() && records.len() < 8 {
        records.extend(HttpsRecord::parse(input.chunk()));
    }
    for record in &records {
        assert!(record.hints.len() <= 32);
        let name = record.target.as_deref();
        assert!(name.is_none_or(|name| !name.is_empty() && name.len() <= 253));
        assert!(!(record.is_alias() && record.is_h3()));
        assert!(!record.is_h3() || record.port != Some(0));
    }
    let routes = Route::all(&origin, &of(&cache), &records, HttpsRecord::alias(&records));
    let own = routes.iter().filter(|route| route.port == 443);
    assert!(own.count() > 0, "the origin's own place is among them");
    plan(routes, &mut Input::new(data));
}

/// Whatever a resolver and the network do, a plan comes to its end.
fn plan(routes: Vec<Route>, input: &mut Input<'_>) {
    let mut now = epoch();
    let mut config = PlanConfig::default();
    config.awaits_routes = input.below(2) == 1;
    let mut plan = Plan::new(now, config, routes);
    if config.awaits_routes {
        plan.handle_routes(now, Vec::new());
    }
    let mut running = Vec::new();
    let mut attempts = 0;
    while !plan.is_over() {
        while let Some(step) = plan.poll(now) {
            match step {
                Step::Resolve { route } => {
                    assert!(route < MAX_ROUTES);
                    let host = SocketAddr::from(([192, 0, 2, input.byte()], 0));
                    match input.below(4) {
                        0 => plan.handle_unresolved(route, "no"),
                        1 => plan.handle_resolved(now, route, &[host]),
                        2 => plan.handle_addresses(now, route, Family::V4, &[host]),
                        _ => {}
                    }
                    // What is missing comes as nothing.
                    plan.handle_addresses(now, route, Family::V6, &[]);
                    plan.handle_addresses(now, route, Family::V4, &[]);
                }
                Step::Attempt { attempt, .. } => {
                    attempts += 1;
                    running.push(attempt);
                }
                Step::Cancel { attempt } => running.retain(|one| *one != attempt),
                Step::Failed(_) => assert!(plan.is_over() && running.is_empty()),
                other => panic!("{other:?}"),
            }
        }
        if plan.is_over() {
            break;
        }
        let which = input.below(running.len().max(1));
        match (plan.poll_timeout(), running.is_empty()) {
            (Some(due), _) if input.below(2) == 0 => now = now.max(due.at),
            (Some(due), true) => now = now.max(due.at),
            (None, true) => panic!("nothing is under way"),
            (_, false) => {
                let attempt = running.swap_remove(which);
                if input.byte() == 255 {
                    assert!(plan.handle_connected(attempt));
                } else {
                    plan.handle_failed(now, attempt, DialFailure::TimedOut);
                }
            }
        }
    }
    assert!(attempts <= MAX_ROUTES * 16, "{attempts}");
}
