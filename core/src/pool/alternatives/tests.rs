//! Row D18: the cache of alternatives, on virtual time.

use super::*;
use crate::pool::tests::epoch;

const NO_AGE: Duration = Duration::ZERO;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn origin(n: usize) -> Origin {
    Origin::new(&format!("o{n}.example"), 443).expect("an origin")
}

/// No port.
const NONE: [u16; 0] = [];

fn field(text: &str) -> AltSvc {
    AltSvc::parse(text.as_bytes()).expect("a field")
}

fn ports(cache: &AltSvcCache, now: Instant, origin: &Origin) -> Vec<u16> {
    cache.lookup(now, origin).map(|one| one.port).collect()
}

/// RFC 7838 section 3: a field takes the place of all before; `clear` ends them; `ma`
/// runs out, less the age of the answer.
#[test]
fn what_an_origin_says_last_counts_until_it_expires() {
    let (start, of) = (epoch(), origin(1));
    let mut cache = AltSvcCache::default();
    cache.store(
        start,
        &of,
        &field("h3=\":1\";ma=10, h2=\":2\", h3=\":3\";ma=20"),
        NO_AGE,
    );
    assert_eq!(ports(&cache, start, &of), [1, 3], "HTTP/3 alone, in order");
    assert_eq!(ports(&cache, start, &origin(2)), NONE);
    assert_eq!(ports(&cache, start, &of.clone().partitioned(b"x")), NONE);
    assert_eq!(ports(&cache, start + secs(10), &of), [3]);
    assert_eq!(ports(&cache, start + secs(20), &of), NONE);
    cache.expire(start + secs(20));
    assert!(cache.is_empty());

    cache.store(start, &of, &field("h3=\":1\";ma=10"), secs(8));
    assert_eq!(ports(&cache, start + secs(1), &of), [1]);
    assert_eq!(ports(&cache, start + secs(2), &of), NONE, "it was 8 s old");
    cache.store(start, &of, &field("h3=\":4\""), NO_AGE);
    assert_eq!(ports(&cache, start + secs(86_399), &of), [4]);
    assert_eq!(ports(&cache, start + secs(86_400), &of), NONE, "24 h");
    cache.store(start, &of, &field("h3=\":4\";ma=2147483648"), NO_AGE);
    assert_eq!(
        ports(&cache, start + secs(30 * 86_400), &of),
        NONE,
        "30 days at most"
    );

    for gone in ["clear", "h2=\":1\"", "h3=\":1\";ma=0"] {
        cache.store(start, &of, &field("h3=\":1\""), NO_AGE);
        cache.store(start, &of, &field(gone), NO_AGE);
        assert!(cache.is_empty(), "{gone}");
    }
}

#[test]
fn it_is_bounded_and_the_oldest_goes() {
    let start = epoch();
    let limits = AltSvcLimits {
        origins: 3,
        alternatives: 2,
        ..AltSvcLimits::default()
    };
    let mut cache = AltSvcCache::new(limits);
    let some = field("h3=\":1\", h3=\":1\", h3=\":2\", h3=\":3\"");
    for n in [1, 2, 3, 1, 4] {
        cache.store(start, &origin(n), &some, NO_AGE);
    }
    let known: Vec<_> = (1..=4)
        .map(|n| ports(&cache, start, &origin(n)).len())
        .collect();
    assert_eq!(known, [2, 0, 2, 2], "the second was told longest ago");
    for n in 0..1_000 {
        cache.store(start, &origin(n), &some, NO_AGE);
        assert!(cache.len() <= 3 && cache.told.len() == cache.len());
    }
    let none = AltSvcLimits {
        origins: 0,
        ..limits
    };
    let mut none = AltSvcCache::new(none);
    none.store(start, &origin(1), &some, NO_AGE);
    assert!(none.is_empty());
}

#[test]
fn what_failed_is_left_alone_for_longer_each_time() {
    let (start, of) = (epoch(), origin(1));
    let mut cache = AltSvcCache::default();
    let both = field("h3=\":1\";ma=2592000, h3=\":2\";ma=2592000");
    cache.store(start, &of, &both, NO_AGE);
    let one = Alternative::h3(1);
    cache.failed(start, &of, &one);
    assert_eq!(ports(&cache, start, &of), [2]);
    // To be named again does not mend it.
    cache.store(start, &of, &both, NO_AGE);
    assert_eq!(ports(&cache, start + secs(299), &of), [2]);
    assert_eq!(ports(&cache, start + secs(300), &of), [1, 2]);
    cache.failed(start, &of, &one);
    assert_eq!(ports(&cache, start + secs(599), &of), [2]);
    for _ in 0..40 {
        cache.failed(start, &of, &one);
    }
    assert_eq!(
        ports(&cache, start + secs(48 * 3_600), &of),
        [1, 2],
        "two days at most"
    );
    cache.failed(start, &of, &one);
    cache.worked(&of, &one);
    assert_eq!(ports(&cache, start, &of), [1, 2]);
    cache.failed(start, &origin(9), &one);
    cache.forget(&of);
    assert!(cache.is_empty());
}

/// RFC 7838 section 2.2.
#[test]
fn on_another_network_only_what_persists_is_kept() {
    let start = epoch();
    let mut cache = AltSvcCache::default();
    cache.store(
        start,
        &origin(1),
        &field("h3=\":1\", h3=\":2\";persist=1"),
        NO_AGE,
    );
    cache.store(start, &origin(2), &field("h3=\":1\""), NO_AGE);
    cache.failed(start, &origin(1), &Alternative::h3(2));
    cache.network_changed();
    assert_eq!(ports(&cache, start, &origin(1)), [2], "it may work here");
    assert_eq!((cache.len(), cache.told.len()), (1, 1));
}

/// The hook for keeping it: the clock on the wall goes on while the program does not run.
#[test]
fn it_can_be_kept_between_runs() {
    let (start, wall) = (epoch(), SystemTime::UNIX_EPOCH + secs(1_000_000));
    let mut cache = AltSvcCache::default();
    cache.store(
        start,
        &origin(2),
        &field("h3=\":1\";ma=100;persist=1, h3=\":2\";ma=50"),
        NO_AGE,
    );
    cache.store(start, &origin(1), &field("h3=\":3\";ma=10"), NO_AGE);
    let stored = cache.export(start + secs(10), wall + secs(10));
    let expires: Vec<_> = stored.iter().map(|one| one.expires).collect();
    assert_eq!(
        expires,
        [wall + secs(100), wall + secs(50)],
        "what has expired is not kept"
    );
    assert!(stored[0].alternative.persist && stored[0].origin == origin(2));

    // Another run: its clock of instants has begun anew.
    let (start, wall) = (epoch(), wall + secs(60));
    let mut other = AltSvcCache::default();
    let h2 = Alternative {
        protocol: Box::from(*b"h2"),
        ..Alternative::h3(9)
    };
    let odd = [
        StoredAlternative::new(origin(3), Alternative::h3(9), wall),
        StoredAlternative::new(origin(4), h2, wall + secs(9)),
        StoredAlternative::new(origin(5), Alternative::h3(5), wall + secs(1 << 40)),
    ];
    other.import(start, wall, stored.clone().into_iter().chain(odd));
    assert_eq!(ports(&other, start + secs(39), &origin(2)), [1]);
    assert_eq!(ports(&other, start + secs(40), &origin(2)), NONE);
    assert_eq!(other.len(), 2);
    assert_eq!(ports(&other, start + secs(30 * 86_400), &origin(5)), NONE);

    // What was heard since counts more, and no more comes than there is room for.
    let limits = AltSvcLimits {
        origins: 2,
        ..AltSvcLimits::default()
    };
    let mut small = AltSvcCache::new(limits);
    small.store(start, &origin(2), &field("h3=\":8\""), NO_AGE);
    let more = (10..20)
        .map(|n| StoredAlternative::new(origin(n), Alternative::h3(n as u16), wall + secs(9)));
    small.import(start, wall, stored.into_iter().chain(more));
    assert_eq!(ports(&small, start, &origin(2)), [8]);
    assert_eq!(small.len(), 2);
}
