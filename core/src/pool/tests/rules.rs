//! Row D15: whose settings hold, and which are refused.

use super::*;
use crate::uri::UriError;

fn with(max_connections: usize) -> OriginConfig {
    OriginConfig {
        max_connections,
        ..OriginConfig::default()
    }
}

/// Exact before wildcard before default; scheme and port have to match.
#[test]
fn the_closest_rule_counts() {
    let rules = Rules::new(with(1))
        .and_then(|rules| rules.rule("https://a.example.com", with(2)))
        .and_then(|rules| rules.rule("https://*.example.com", with(3)))
        .and_then(|rules| rules.rule("https://*.example.com:8443", with(4)))
        .and_then(|rules| rules.rule("https://[2001:DB8::1]", with(5)))
        .expect("rules");
    for (uri, expected) in [
        ("https://a.example.com", 2),
        ("https://A.EXAMPLE.com:443/x", 2),
        ("https://b.example.com", 3),
        ("https://b.example.com:8443", 4),
        ("https://a.example.com:8443", 4),
        ("https://b.example.com:9", 1),
        ("https://a.b.example.com", 1),
        ("https://example.com", 1),
        ("https://[2001:db8::1]", 5),
        ("https://other.example", 1),
    ] {
        let origin: Origin = uri.parse().expect("an origin");
        assert_eq!(rules.of(&origin).max_connections, expected, "{uri}");
        let apart = origin.partitioned(b"x");
        assert_eq!(rules.of(&apart).max_connections, expected, "{uri}");
    }
}

#[test]
fn patterns_that_are_none() {
    let wildcard = |text: &str| PoolConfigError::Wildcard(text.into());
    let more = |text: &str| PoolConfigError::NotAnOrigin(text.into());
    let pattern = |text: &str, why| PoolConfigError::Pattern {
        pattern: text.into(),
        why,
    };
    for error in [
        wildcard("https://*"),
        wildcard("https://a.*.example"),
        wildcard("https://*a.example"),
        wildcard("https://*.*.example"),
        wildcard("https://*.192.0.2.1"),
        more("https://a.example/"),
        more("https://a.example?x"),
        more("https://[fe80::1%25eth0]"),
        pattern("http://a.example", UriError::Scheme),
        pattern("http://*.example", UriError::Scheme),
        pattern("a.example", UriError::Scheme),
        pattern("https://", UriError::NoHost),
        pattern("https://a.example:0", UriError::Port("0".into())),
    ] {
        let (PoolConfigError::Wildcard(text)
        | PoolConfigError::NotAnOrigin(text)
        | PoolConfigError::Pattern { pattern: text, .. }) = error.clone()
        else {
            panic!("{error}");
        };
        let rules = Rules::new(OriginConfig::default()).expect("rules");
        let refused = rules.rule(&text, OriginConfig::default());
        assert_eq!(refused.err(), Some(error));
    }
    let twice = Rules::new(with(1))
        .and_then(|rules| rules.rule("https://a.example", with(1)))
        .and_then(|rules| rules.rule("https://A.example:443", with(2)));
    let error = PoolConfigError::Twice("https://A.example:443".into());
    assert_eq!(twice.err(), Some(error));
}

/// Settings that contradict themselves or each other.
#[test]
fn contradictions_are_refused() {
    type Change = fn(&mut OriginConfig);
    let changes: [(Change, Contradiction); 11] = [
        (|c| c.max_connections = 0, Contradiction::NoConnections),
        (|c| c.max_streams = 0, Contradiction::NoStreams),
        (|c| c.max_waiters = 0, Contradiction::NoWaiters),
        (
            |c| c.checkout_timeout = Duration::ZERO,
            Contradiction::NoTime,
        ),
        (
            |c| c.connect_timeout = Duration::ZERO,
            Contradiction::NoTime,
        ),
        (
            |c| c.keep_alive = Some(Duration::ZERO),
            Contradiction::NoTime,
        ),
        (
            |c| c.min_back_off = Duration::ZERO,
            Contradiction::NoBackOff,
        ),
        (|c| c.max_back_off = ms(249), Contradiction::BackOffShrinks),
        (
            |c| c.keep_alive = Some(ms(30_000)),
            Contradiction::KeepAliveAfterIdle,
        ),
        (|c| c.max_connections = 1_001, Contradiction::MoreThanAll),
        (|c| c.max_waiters = 10_001, Contradiction::MoreThanAll),
    ];
    for (change, why) in changes {
        let mut config = OriginConfig::default();
        change(&mut config);
        for pattern in [
            "https://a.example:443",
            "https://*.a.example:443",
            "default",
        ] {
            let of: Box<str> = pattern.into();
            let expected = PoolConfigError::Contradiction { of, why };
            let rules = match pattern {
                "default" => Rules::new(config.clone()),
                _ => Rules::new(OriginConfig::default())
                    .and_then(|rules| rules.rule(pattern, config.clone())),
            };
            let pool = rules.and_then(|rules| {
                Pool::new(PoolConfig {
                    rules,
                    ..PoolConfig::default()
                })
            });
            assert_eq!(pool.err(), Some(expected));
        }
    }
}

/// Settings hold for the origin that they are of.
#[test]
fn an_origin_has_its_own_settings() {
    let narrow = OriginConfig {
        max_streams: 1,
        ..OriginConfig::default()
    };
    let rules = Rules::new(OriginConfig::default());
    let rules = rules.and_then(|rules| rules.rule("https://o1.example", narrow));
    let config = PoolConfig {
        rules: rules.expect("rules"),
        ..PoolConfig::default()
    };
    let (pool, now) = (Pool::new(config).expect("a pool"), epoch());
    let mut run = Run { pool, now };
    let (narrow, _) = run.connect(1);
    let (wide, _) = run.connect(2);
    assert_eq!(run.pool.free_streams(narrow), 0);
    assert_eq!(run.pool.free_streams(wide), 99);
}
