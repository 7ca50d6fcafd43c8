//! Rules, their order, and what a name cannot do.

use super::*;

fn rule(text: &str) -> Rule {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn target(text: &str) -> Target {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn allow(rules: &[&str]) -> TargetPolicy {
    let policy = TargetPolicy::default();
    rules
        .iter()
        .fold(policy, |policy, text| policy.allow(rule(text)))
}

fn deny(rules: &[&str]) -> TargetPolicy {
    let policy = TargetPolicy::default();
    rules
        .iter()
        .fold(policy, |policy, text| policy.deny(rule(text)))
}

/// What is said about a name that resolved to this address.
fn resolved(policy: &TargetPolicy, at: &str, address: &str) -> Result<(), Denied> {
    let at = target(at);
    policy.check_target(&at)?;
    policy.check_address(&at, ip(address))
}

fn literal(policy: &TargetPolicy, at: &str) -> Result<(), Denied> {
    policy.check_target(&target(at))
}

// Row C16.
#[test]
fn a_name_that_resolves_to_a_special_address_is_refused() {
    let policy = TargetPolicy::default();
    assert_eq!(resolved(&policy, "a.example:443", "8.8.8.8"), Ok(()));
    let loopback = Err(Denied::Special(SpecialRange::Loopback));
    assert_eq!(resolved(&policy, "a.example:443", "127.0.0.1"), loopback);
    assert_eq!(literal(&policy, "127.0.0.1:443"), loopback);
    assert_eq!(literal(&policy, "[::ffff:127.0.0.1]:443"), loopback);
    // Whoever has the name would choose.
    let policy = allow(&["a.example", "*.example", "*"]);
    assert_eq!(resolved(&policy, "a.example:443", "127.0.0.1"), loopback);
    assert_eq!(
        resolved(&policy.allow_special(true), "a.example:443", "127.0.0.1"),
        Ok(())
    );
}

// Row C16.
#[test]
fn a_rule_for_addresses_allows_special_ones() {
    let policy = allow(&["10.1.0.0/16:443", "[::1]:1000-1999", "fd00::/8"]);
    assert_eq!(literal(&policy, "10.1.255.255:443"), Ok(()));
    assert_eq!(literal(&policy, "[::ffff:10.1.0.0]:443"), Ok(()));
    assert_eq!(resolved(&policy, "a.example:443", "10.1.2.3"), Ok(()));
    assert_eq!(literal(&policy, "[::1]:1000"), Ok(()));
    assert_eq!(literal(&policy, "[::1]:1999"), Ok(()));
    assert_eq!(literal(&policy, "[fd00::1]:1"), Ok(()));
    for (at, range) in [
        ("10.1.0.0:444", SpecialRange::Private),
        ("10.2.0.0:443", SpecialRange::Private),
        ("10.0.255.255:443", SpecialRange::Private),
        ("[::1]:999", SpecialRange::Loopback),
        ("[::1]:2000", SpecialRange::Loopback),
        ("[fc00::1]:1", SpecialRange::UniqueLocal),
    ] {
        assert_eq!(literal(&policy, at), Err(Denied::Special(range)), "{at}");
    }
}

// Row C16.
#[test]
fn an_address_inside_another_is_judged_as_well() {
    let nat64 = |address: &str| format!("[64:ff9b::{address}]:443");
    let policy = allow(&["64:ff9b::/96", "2002::/16", "2001::/32", "::/96"]);
    assert_eq!(literal(&policy, &nat64("8.8.8.8")), Ok(()));
    for (at, range) in [
        (nat64("127.0.0.1"), SpecialRange::Loopback),
        ("[2002:a9fe:a9fe::1]:80".to_owned(), SpecialRange::LinkLocal),
        ("[::10.0.0.1]:80".to_owned(), SpecialRange::Private),
        // The server, then the client, which is inverted.
        (
            "[2001:0:a00:1::f7f7:f7f7]:80".to_owned(),
            SpecialRange::Private,
        ),
        (
            "[2001:0:808:808::3f57:fffe]:80".to_owned(),
            SpecialRange::Private,
        ),
    ] {
        assert_eq!(literal(&policy, &at), Err(Denied::Special(range)), "{at}");
    }
    assert_eq!(literal(&policy, "[2001:0:808:808::f7f7:f7f7]:80"), Ok(()));
    let policy = policy.deny(rule("8.8.0.0/16")).own([ip("9.9.9.9")]);
    assert_eq!(literal(&policy, &nat64("8.8.8.8")), Err(Denied::Rule));
    assert_eq!(literal(&policy, &nat64("9.9.9.9")), Err(Denied::Own));
    assert_eq!(
        literal(&policy.allow(rule("127.0.0.1")), &nat64("127.0.0.1")),
        Ok(())
    );
}

// Row C16.
#[test]
fn the_proxys_own_addresses_are_refused() {
    let policy = TargetPolicy::default().own([ip("8.8.8.8"), ip("::ffff:9.9.9.9")]);
    let policy = policy.own([ip("2600::1")]).allow_special(true);
    let policy = ["*", "0.0.0.0/1", "2600::/127"]
        .iter()
        .fold(policy, |policy, text| policy.allow(rule(text)));
    assert_eq!(literal(&policy, "[2600::1]:443"), Err(Denied::Own));
    assert_eq!(literal(&policy, "[2600::]:443"), Ok(()));
    assert_eq!(
        resolved(&policy, "a.example:443", "8.8.8.8"),
        Err(Denied::Own)
    );
    assert_eq!(literal(&policy, "[::ffff:8.8.8.8]:443"), Err(Denied::Own));
    assert_eq!(literal(&policy, "9.9.9.9:443"), Err(Denied::Own));
    assert_eq!(literal(&policy, "8.8.4.4:443"), Ok(()));
    let policy = policy.allow(rule("8.8.8.8:443")).allow(rule("2600::1"));
    assert_eq!(literal(&policy, "[2600::1]:443"), Ok(()));
    assert_eq!(literal(&policy, "8.8.8.8:443"), Ok(()));
    assert_eq!(literal(&policy, "8.8.8.8:444"), Err(Denied::Own));
}

// Row C16.
#[test]
fn deny_wins_over_allow() {
    let policy = deny(&[
        "*:25",
        "bad.example",
        "*.evil.example",
        "8.8.8.0/24",
        "[2600::]/16:53",
    ]);
    let policy = policy
        .allow(rule("*"))
        .allow(rule("0.0.0.0/0"))
        .allow(rule("bad.example"));
    for at in [
        "good.example:25",
        "bad.example:443",
        "bad.example.:443",
        "a.evil.example:1",
        "a.b.evil.example.:1",
        "8.8.8.8:443",
        "[::ffff:8.8.8.8]:443",
        "[2600::1]:53",
    ] {
        assert_eq!(literal(&policy, at), Err(Denied::Rule), "{at}");
    }
    for at in [
        "evil.example:1",
        "notevil.example:1",
        "a.bad.example:1",
        "[2600::1]:54",
    ] {
        assert_eq!(literal(&policy, at), Ok(()), "{at}");
    }
    assert_eq!(
        resolved(&policy, "good.example:443", "8.8.8.8"),
        Err(Denied::Rule)
    );
    // Asked about an address alone, the name still counts, however it is written.
    let at = Target::new(Host::Name("BAD.example".into()), target("a:1").port);
    assert_eq!(policy.check_address(&at, ip("9.9.9.9")), Err(Denied::Rule));
}

// Row C16.
#[test]
fn nothing_else_is_allowed_where_only_rules_allow() {
    let names = allow(&["*.example:443", "a.test"]).only_allowed(true);
    assert_eq!(resolved(&names, "a.example:443", "8.8.8.8"), Ok(()));
    assert_eq!(resolved(&names, "a.test:80", "8.8.8.8"), Ok(()));
    for at in ["a.example:80", "b.test:80", "8.8.8.8:443"] {
        assert_eq!(literal(&names, at), Err(Denied::NotAllowed), "{at}");
    }
    // What a name resolves to is not known before.
    let addresses = allow(&["8.8.8.0/24:443"]).only_allowed(true);
    assert_eq!(literal(&addresses, "b.test:443"), Ok(()));
    assert_eq!(literal(&addresses, "b.test:444"), Err(Denied::NotAllowed));
    assert_eq!(resolved(&addresses, "b.test:443", "8.8.8.8"), Ok(()));
    assert_eq!(
        resolved(&addresses, "b.test:443", "8.8.4.4"),
        Err(Denied::NotAllowed)
    );
    assert_eq!(
        literal(&allow(&[]).only_allowed(true), "a:1"),
        Err(Denied::NotAllowed)
    );
}

#[test]
fn a_rule_is_written_as_it_is_read() {
    for text in [
        "*",
        "*:443",
        "a.example",
        "a.example:1-65535",
        "*.a.example:443",
        "192.0.2.1",
        "192.0.2.1:53",
        "192.0.2.0/24",
        "192.0.2.0/24:1000-1999",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::1",
        "2001:db8::/32",
        "[2001:db8::]/32:443",
        "[::1]:53",
        "[::]/0:1-2",
    ] {
        assert_eq!(rule(text).to_string(), text);
    }
    for (text, shown) in [
        ("A.Example.", "a.example"),
        ("*.A.example.:1-1", "*.a.example:1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::]/32", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1:1"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
    ] {
        match text.parse::<Rule>() {
            Ok(rule) => assert_eq!(rule.to_string(), shown, "{text}"),
            Err(RuleError::Bits(_, meant)) => assert_eq!(&*meant, shown, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_named() {
    let host = |text: &str| RuleError::Host(text.into());
    let length = |text: &str| RuleError::Length(text.into());
    let ports = |text: &str| RuleError::Ports(text.into());
    for (text, error) in [
        ("", host("")),
        (":443", host("")),
        ("*.", host("*.")),
        ("a.*", host("a.*")),
        ("**", host("**")),
        ("*.192.0.2.1", host("*.192.0.2.1")),
        ("127.1", host("127.1")),
        ("a.example/24", host("a.example")),
        ("[::1", host("[::1")),
        ("[a]:1", host("[a]:1")),
        ("[192.0.2.1]:1", host("[192.0.2.1]:1")),
        ("[::1]x:1", host("[::1]x:1")),
        ("::1%eth0", host("::1%eth0")),
        ("192.0.2.0/33", length("33")),
        ("192.0.2.0/", length("")),
        ("192.0.2.0/+8", length("+8")),
        ("::/129", length("129")),
        ("::/256", length("256")),
        (
            "10.0.0.1/8",
            RuleError::Bits("10.0.0.1/8".into(), "10.0.0.0/8".into()),
        ),
        ("a:0", ports("0")),
        ("a:65536", ports("65536")),
        ("a:2-1", ports("2-1")),
        ("a:1-", ports("1-")),
        ("a:+1", ports("+1")),
        ("a:", ports("")),
        ("[::1]:", ports("")),
    ] {
        assert_eq!(text.parse::<Rule>(), Err(error), "{text}");
    }
}
