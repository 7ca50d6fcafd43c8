//! What is known of alternative services, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use super::Origin;
use super::alt_svc::{AltSvc, Alternative};
use crate::time::after;

/// How long an alternative is not used after it failed; each further time doubles it.
const BROKEN: Duration = Duration::from_secs(300);
/// The most that it becomes.
const BROKEN_MOST: Duration = Duration::from_secs(48 * 3_600);

/// Bounds of an [`AltSvcCache`].
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AltSvcLimits {
    /// Origins that are remembered; the one that was told longest ago goes first.
    /// Default 1,000.
    pub origins: usize,
    /// Alternatives of each, the first that it names. Default 4. No more than 7 are tried
    /// for a connection ([`MAX_ROUTES`](super::MAX_ROUTES)).
    pub alternatives: usize,
    /// The longest that any is believed. Default 30 days.
    pub max_age: Duration,
}

impl Default for AltSvcLimits {
    fn default() -> Self {
        Self {
            origins: 1_000,
            alternatives: 4,
            max_age: Duration::from_secs(30 * 86_400),
        }
    }
}

/// The HTTP/3 alternatives of origins, until they expire (RFC 7838 §2.2).
///
/// Only what came with an authenticated answer of the origin itself is to be stored
/// (RFC 7838 §2.1), and the alternative has to have the origin's certificate. All of it
/// O(log n), but for what says otherwise.
#[derive(Clone, Debug, Default)]
pub struct AltSvcCache {
    limits: AltSvcLimits,
    origins: BTreeMap<Origin, Entry>,
    /// By age.
    told: BTreeSet<(u64, Origin)>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    told: u64,
    services: Vec<Service>,
}

#[derive(Clone, Debug)]
struct Service {
    alternative: Alternative,
    expires: Instant,
    failures: u32,
    broken: Option<Instant>,
}

/// An alternative as it is kept between runs of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredAlternative {
    /// Whose it is.
    pub origin: Origin,
    /// What it is; its `max_age` counts for nothing.
    pub alternative: Alternative,
    /// When it expires, by the clock on the wall.
    pub expires: SystemTime,
}

impl StoredAlternative {
    /// An alternative of an origin until a time.
    #[must_use]
    pub fn new(origin: Origin, alternative: Alternative, expires: SystemTime) -> Self {
        Self {
            origin,
            alternative,
            expires,
        }
    }
}

impl AltSvcCache {
    /// An empty one.
    #[must_use]
    pub fn new(limits: AltSvcLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What an origin says of itself takes the place of all that it said before. `age`
    /// is how old the answer is (the `age` field of one from a cache), else zero.
    pub fn store(&mut self, now: Instant, origin: &Origin, field: &AltSvc, age: Duration) {
        let services: &[Alternative] = match field {
            AltSvc::Clear => &[],
            AltSvc::Services(services) => services,
        };
        //= https://www.rfc-editor.org/rfc/rfc7838#section-3.1
        // What the age of the answer leaves of `ma` counts.
        let left = |one: &Alternative| one.max_age.min(self.limits.max_age).saturating_sub(age);
        let fresh = services.iter().filter(|one| one.is_h3());
        let fresh = fresh.map(|one| (one.clone(), after(now, left(one))));
        let fresh: Vec<_> = fresh.filter(|(_, expires)| *expires > now).collect();
        self.put(origin, fresh, true);
    }

    /// The alternatives that may be used at present, the server's favourite first.
    /// O(log n) and those of the origin.
    pub fn lookup(&self, now: Instant, origin: &Origin) -> impl Iterator<Item = &Alternative> {
        let entry = self.origins.get(origin);
        let services = entry.into_iter().flat_map(|entry| &entry.services);
        let usable = services.filter(move |service| {
            service.expires > now && service.broken.is_none_or(|until| until <= now)
        });
        usable.map(|service| &service.alternative)
    }

    /// An alternative was not reached, or was not who it should be: it is left alone for
    /// five minutes, and twice as long each time that it fails again.
    pub fn failed(&mut self, now: Instant, origin: &Origin, alternative: &Alternative) {
        if let Some(service) = self.find(origin, alternative) {
            let doubled = 1u32.checked_shl(service.failures).unwrap_or(u32::MAX);
            let wait = BROKEN.saturating_mul(doubled).min(BROKEN_MOST);
            service.failures = service.failures.saturating_add(1).min(31);
            service.broken = Some(after(now, wait));
        }
    }

    /// An alternative works.
    pub fn worked(&mut self, origin: &Origin, alternative: &Alternative) {
        if let Some(service) = self.find(origin, alternative) {
            service.failures = 0;
            service.broken = None;
        }
    }

    /// Nothing is known of the origin's alternatives: a 421 of one says so (RFC 7838 §6).
    pub fn forget(&mut self, origin: &Origin) {
        if let Some(entry) = self.origins.remove(origin) {
            self.told.remove(&(entry.told, origin.clone()));
        }
    }

    /// This side is on another network: what does not persist is forgotten (RFC 7838
    /// §2.2), and what failed there may work here. O(all).
    pub fn network_changed(&mut self) {
        let mut gone = Vec::new();
        for (origin, entry) in &mut self.origins {
            entry.services.retain(|service| service.alternative.persist);
            for service in &mut entry.services {
                (service.failures, service.broken) = (0, None);
            }
            if entry.services.is_empty() {
                gone.push(origin.clone());
            }
        }
        for origin in gone {
            self.forget(&origin);
        }
    }

    /// Forgets what has expired. Nothing has to call it: it is not used anyway. O(all).
    pub fn expire(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (origin, entry) in &mut self.origins {
            entry.services.retain(|service| service.expires > now);
            if entry.services.is_empty() {
                gone.push(origin.clone());
            }
        }
        for origin in gone {
            self.forget(&origin);
        }
    }

    /// Origins that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// All that has not expired, the origin that was told longest ago first, to be kept
    /// somewhere; `wall` is what the clock on the wall shows at `now`. O(all).
    #[must_use]
    pub fn export(&self, now: Instant, wall: SystemTime) -> Vec<StoredAlternative> {
        let mut stored = Vec::new();
        for (_, origin) in &self.told {
            let entry = self.origins.get(origin);
            for service in entry.into_iter().flat_map(|entry| &entry.services) {
                let left = service.expires.saturating_duration_since(now);
                if let Some(expires) = wall.checked_add(left).filter(|_| !left.is_zero()) {
                    let (origin, alternative) = (origin.clone(), service.alternative.clone());
                    stored.push(StoredAlternative::new(origin, alternative, expires));
                }
            }
        }
        stored
    }

    /// Takes what was kept, as far as the bounds go, the last ones first. What an origin
    /// has said since counts more, and what is not HTTP/3 nothing. O(n log n).
    pub fn import(
        &mut self,
        now: Instant,
        wall: SystemTime,
        stored: impl IntoIterator<Item = StoredAlternative>,
    ) {
        let mut of: BTreeMap<Origin, (usize, Vec<(Alternative, Instant)>)> = BTreeMap::new();
        for (at, one) in stored.into_iter().enumerate() {
            // Of a clock that went backwards no more is believed than of a server.
            let left = one.expires.duration_since(wall).unwrap_or_default();
            let left = left.min(self.limits.max_age);
            if left.is_zero() || !one.alternative.is_h3() || self.origins.contains_key(&one.origin)
            {
                continue;
            }
            let entry = of.entry(one.origin).or_insert((at, Vec::new()));
            entry.1.push((one.alternative, after(now, left)));
        }
        let mut of: Vec<_> = of.into_iter().collect();
        of.sort_by_key(|(_, (at, _))| *at);
        let first = of.len().saturating_sub(self.limits.origins);
        for (origin, (_, services)) in of.into_iter().skip(first) {
            self.put(&origin, services, false);
        }
    }

    fn find(&mut self, origin: &Origin, alternative: &Alternative) -> Option<&mut Service> {
        let services = &mut self.origins.get_mut(origin)?.services;
        services
            .iter_mut()
            .find(|service| service.alternative.is_at(alternative))
    }

    /// `push` others out if there is no room.
    fn put(&mut self, origin: &Origin, fresh: Vec<(Alternative, Instant)>, push: bool) {
        let before = self.origins.get(origin).map(|entry| entry.services.clone());
        self.forget(origin);
        if fresh.is_empty() || self.limits.origins == 0 || self.limits.alternatives == 0 {
            return;
        }
        if self.origins.len() >= self.limits.origins {
            if !push {
                return;
            }
            if let Some((_, oldest)) = self.told.pop_first() {
                self.origins.remove(&oldest);
            }
        }
        let mut services: Vec<Service> = Vec::new();
        for (alternative, expires) in fresh {
            let known = services
                .iter()
                .any(|one| one.alternative.is_at(&alternative));
            if known || services.len() >= self.limits.alternatives {
                continue;
            }
            // One that is broken is not mended by being named again.
            let same = before.iter().flatten();
            let same = { same }.find(|service| service.alternative.is_at(&alternative));
            services.push(Service {
                failures: same.map_or(0, |service| service.failures),
                broken: same.and_then(|service| service.broken),
                alternative,
                expires,
            });
        }
        let told = self.next;
        self.next += 1;
        self.told.insert((told, origin.clone()));
        let entry = Entry { told, services };
        self.origins.insert(origin.clone(), entry);
    }
}

impl Alternative {
    /// Whether both are one place.
    fn is_at(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.host == other.host && self.port == other.port
    }
}

#[cfg(test)]
mod tests;
