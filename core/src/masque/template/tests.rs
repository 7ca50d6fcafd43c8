//! What templates are refused, what becomes of the others, and the way back.

use proptest::prelude::*;

use super::*;
use crate::masque::Host;

fn target(text: &str) -> Target {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn path_template(text: &str) -> PathTemplate {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The path of a template that a client and a server of it use, for this target.
fn expanded(path: &str, target: &Target) -> String {
    let template = Template::parse(&format!("https://proxy.example{path}"));
    let uri = template.unwrap_or_else(|error| panic!("{path}: {error}"));
    let uri = uri.expand(target);
    uri.path_and_query()
        .map_or_else(String::new, ToString::to_string)
}

/// Of all forms, and mixtures of them.
const PATHS: &[&str] = &[
    "/.well-known/masque/udp/{target_host}/{target_port}/",
    "/{target_port}/x/{target_host}",
    "/{target_host}:{target_port}",
    "/{target_host,target_port}",
    "/{target_host,other,target_port}/",
    "/t{?target_host,target_port}",
    "/t{?x,target_port,y.z,target_host}",
    "/t?h={target_host}&p={target_port}",
    "/t?user=bob{&target_host,target_port}",
    "/t?user=bob{&target_host}{&target_port,x}&end",
    "/t?{target_host}&{target_port}",
    "/{target_host}?{&target_port}",
    "/{x}/{target_host}/{y,z}/{?target_port}&a=b",
    "/%41/{target_host}/{target_port}{?x}",
    "/{target_host}!{target_port}?",
];

fn hosts() -> impl Strategy<Value = Host> {
    let label = "[a-z_-]([a-z0-9_-]{0,20}[a-z_])?";
    let name = prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."));
    let name = (name, any::<bool>()).prop_map(|(name, dot)| name + if dot { "." } else { "" });
    prop_oneof![
        name.prop_map(|name| Host::parse(&name).expect("a name")),
        any::<[u8; 4]>().prop_map(|bytes| Host::V4(bytes.into())),
        any::<[u16; 8]>().prop_map(|groups| Host::V6(groups.into())),
        (0..=u32::MAX).prop_map(|low| Host::V6(u128::from(low).into())),
    ]
}

proptest! {
    // Row C3: round trip.
    #[test]
    fn what_a_client_expands_a_proxy_matches(
        host in hosts(),
        port in any::<std::num::NonZeroU16>(),
        path in prop::sample::select(PATHS),
    ) {
        let target = Target::new(host, port);
        let asked = expanded(path, &target);
        prop_assert_eq!(path_template(path).matches(&asked), Some(Ok(target)), "{}", asked);
    }
}

// Row C3.
#[test]
fn values_are_percent_encoded_all_but_unreserved() {
    for (path, at, uri) in [
        (
            "/.well-known/masque/udp/{target_host}/{target_port}/",
            "[2001:db8::1]:443",
            "/.well-known/masque/udp/2001%3Adb8%3A%3A1/443/",
        ),
        (
            "/t{?target_host,x,target_port}",
            "a_b.c-d:1",
            "/t?target_host=a_b.c-d&target_port=1",
        ),
        (
            "/t?a{&target_host,x,target_port}",
            "a:1",
            "/t?a&target_host=a&target_port=1",
        ),
        ("/{x,target_host,target_port}{?y}", "a:1", "/a,1"),
    ] {
        assert_eq!(expanded(path, &target(at)), uri, "{path}");
    }
    // A name that nobody parsed is no way out of the path.
    let name = Target::new(Host::Name("a/../b?c&é".into()), target("a:1").port);
    let path = expanded("/{target_host}/{target_port}", &name);
    assert_eq!(path, "/a%2F..%2Fb%3Fc%26%C3%A9/1");
    let name = Target::new(Host::Name("a".repeat(70_000).into()), name.port);
    assert_eq!(expanded("/{target_host}/{target_port}", &name), "/");
}

#[test]
fn the_default_template_is_of_the_origin_alone() {
    let origin = "https://Proxy.example:8443/some?where"
        .parse()
        .expect("a URI");
    for (kind, start) in [(TunnelKind::Udp, "udp"), (TunnelKind::Tcp, "tcp")] {
        let template = Template::default_for(kind, &origin);
        assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()));
        assert_eq!(
            (template.origin().host(), template.origin().port()),
            ("proxy.example", 8443)
        );
        let at = target("192.0.2.1:53");
        let path = format!("/.well-known/masque/{start}/192.0.2.1/53/");
        let uri = template.expand(&at);
        assert_eq!(uri, *format!("https://proxy.example:8443{path}"));
        assert_eq!(PathTemplate::default_for(kind).matches(&path), Some(Ok(at)));
    }
}

// Row C3.
#[test]
fn values_are_decoded_once() {
    let template = PathTemplate::default_for(TunnelKind::Udp);
    let matched = |host: &str, port: &str| {
        let found = template.matches(&format!("/.well-known/masque/udp/{host}/{port}/"));
        found.expect("the path fits")
    };
    assert_eq!(
        matched("2001%3Adb8%3a%3A1", "%34%343"),
        Ok(target("[2001:db8::1]:443"))
    );
    assert_eq!(matched("%41.example", "1"), Ok(target("a.example:1")));
    for (host, port, error) in [
        ("2001%253Adb8%253A%253A1", "443", TargetError::Host),
        ("a%2Fb", "443", TargetError::Host),
        ("%5B%3A%3A1%5D", "443", TargetError::Host),
        ("fe80%3A%3A1%25eth0", "443", TargetError::Host),
        ("a%00", "443", TargetError::Host),
        ("", "443", TargetError::Host),
        ("a", "%2534", TargetError::Port),
        ("a", "", TargetError::Port),
        ("a", "0", TargetError::Port),
        ("a", "65536", TargetError::Port),
        ("a%", "443", TargetError::Encoding),
        ("a%4", "443", TargetError::Encoding),
        ("a%+1", "443", TargetError::Encoding),
        ("a%G0", "443", TargetError::Encoding),
        ("%FF", "443", TargetError::Encoding),
        ("a", "%3", TargetError::Encoding),
    ] {
        assert_eq!(matched(host, port), Err(error), "{host} {port}");
    }
}

#[test]
fn a_path_that_does_not_fit_is_of_something_else() {
    let refused = |template: &str, paths: &[&str]| {
        let template = path_template(template);
        for path in paths {
            assert_eq!(template.matches(path), None, "{template} {path}");
        }
    };
    refused(
        "/udp/{target_host}/{target_port}/",
        &[
            "",
            "/",
            "*",
            "/udp/a/1",
            "/udp/a/1/x",
            "/udp/a/1//",
            "/tcp/a/1/",
            "/udp/a/b/1/",
            "/udp/a/1/?",
            "/udp/a/1/?x=1",
            "udp/a/1/",
            "/UDP/a/1/",
            "/%75dp/a/1/",
            "/udp/a/1/é",
        ],
    );
    refused(
        "/t{?target_host,target_port}",
        &[
            "/t",
            "/t?",
            "/t?target_host=a",
            "/t?target_host=a&target_port=1&x=2",
            "/t?target_host=a&target_host=b&target_port=1",
            "/t?target_host=a&&target_port=1",
            "/t/?target_host=a&target_port=1",
            "/t?target_host&target_port=1",
            "/t?Target_host=a&target_port=1",
        ],
    );
    refused(
        "/t?v=1&h={target_host}&p={target_port}",
        &[
            "/t?v=2&h=a&p=1",
            "/t?v=1&h=a",
            "/t?v=1&h=a&p=1&",
            "/t?h=a&v=1&p=1",
        ],
    );
    refused(
        "/{target_port}/{target_host}",
        &["/1/a/b", "/1/a/", "/1/a?x", "/1/a?"],
    );
    refused("/{target_host,target_port,x}", &["/a", "/a,1,2,3", "/a/1"]);
}

#[test]
fn parameters_come_in_any_order_and_the_unknown_ones_may() {
    for (template, path) in [
        (
            "/t{?target_host,target_port}",
            "/t?target_port=1&target_host=a",
        ),
        (
            "/t{?target_host,x,target_port}",
            "/t?x=9&target_port=1&x=/&target_host=a",
        ),
        (
            "/t?u=b{&target_host}{&target_port}",
            "/t?u=b&target_port=1&target_host=a",
        ),
        ("/{target_host,target_port,x}", "/a,1,9"),
        ("/{x}/{target_host}/{target_port}", "/any%zzthing/a/1"),
        ("/{target_host}/{target_port}{?x}", "/a/1?x=9"),
        ("/{target_host}/{target_port}", "/A/1"),
    ] {
        let found = path_template(template).matches(path);
        assert_eq!(found, Some(Ok(target("a:1"))), "{template} {path}");
    }
}

/// Why path and query of a template are refused, each with both variables somewhere.
fn wrong_paths() -> Vec<(&'static str, TemplateError)> {
    use TemplateError as E;
    let operator = |operator, expression: &str| E::Operator {
        operator,
        expression: expression.into(),
    };
    vec![
        ("", E::Path("".into())),
        (
            "?h={target_host}&p={target_port}",
            E::Path("?h={target_host}&p={target_port}".into()),
        ),
        ("/{target_host}/{target_port}#x", E::Fragment("#x".into())),
        ("/{target_host}/{target_port}{#x}", operator('#', "#x")),
        (
            "/{+target_host}/{target_port}",
            operator('+', "+target_host"),
        ),
        (
            "/a{.target_host}/{target_port}",
            operator('.', ".target_host"),
        ),
        (
            "{/target_host}/{target_port}",
            E::Path("{/target_host}/{target_port}".into()),
        ),
        (
            "/a{/target_host}/{target_port}",
            operator('/', "/target_host"),
        ),
        (
            "/a{;target_host}/{target_port}",
            operator(';', ";target_host"),
        ),
        (
            "/{|target_host}/{target_port}",
            operator('|', "|target_host"),
        ),
        (
            "/{target_host:3}/{target_port}",
            E::Modifier("target_host:3".into()),
        ),
        (
            "/{target_host}/{target_port*}",
            E::Modifier("target_port*".into()),
        ),
        ("/{target_host}/{target_port}/{}", E::Variable("".into())),
        ("/{target_host}/{target_port}/{a,}", E::Variable("".into())),
        (
            "/{target_host}/{target_port}/{a-b}",
            E::Variable("a-b".into()),
        ),
        (
            "/{target_host}/{target_port}/{a..b}",
            E::Variable("a..b".into()),
        ),
        (
            "/{target_host}/{target_port}/{a%4}",
            E::Variable("a%4".into()),
        ),
        (
            "/{target_host}/{target_port",
            E::Braces("{target_port".into()),
        ),
        ("/{target_host}/target_port}", E::Braces("}".into())),
        (
            "/{target_host}/{a{target_port}}",
            E::Braces("{a{target_port}}".into()),
        ),
        ("/{target_host}", E::Missing("target_port")),
        ("/{Target_Host}/{target_port}", E::Missing("target_host")),
        ("/", E::Missing("target_host")),
        (
            "/{target_host}/{target_port}/{target_host}",
            E::Repeated("target_host"),
        ),
        (
            "/t{?target_host,target_port,target_port}",
            E::Repeated("target_port"),
        ),
        (
            "/{target_host}{target_port}",
            E::Adjacent("target_port".into()),
        ),
        (
            "/t{?target_host}{target_port}",
            E::Adjacent("target_port".into()),
        ),
        (
            "/t?a{?target_host,target_port}",
            E::Query("?target_host,target_port".into()),
        ),
        (
            "/t{?target_host}{?target_port}",
            E::Query("?target_port".into()),
        ),
        (
            "/t{&target_host,target_port}",
            E::Query("&target_host,target_port".into()),
        ),
        ("/t{?x}{&target_host,target_port}", E::Empty("?x".into())),
        ("/{target_host}/{target_port}/a b", E::Character(' ')),
        ("/{target_host}/{target_port}/é", E::Character('é')),
        (
            "/{target_host}/{target_port}/\u{7f}",
            E::Character('\u{7f}'),
        ),
        ("/{target_host}/{target_port}/\"", E::Character('"')),
        ("/{target_host}/{target_port}/^", E::Character('^')),
        ("/{target_host}/{target_port}/%4", E::Percent("%4".into())),
        ("/{target_host}/{target_port}/%zz", E::Percent("%zz".into())),
    ]
}

// Row C3: a bad template is refused at start.
#[test]
fn a_template_that_breaks_a_rule_is_refused_by_client_and_proxy() {
    for (path, error) in wrong_paths() {
        assert_eq!(PathTemplate::parse(path), Err(error.clone()), "{path}");
        let whole = format!("https://proxy.example{path}");
        match (Template::parse(&whole), error) {
            // There the path begins behind the host, with a brace.
            (Err(TemplateError::Place(_)), TemplateError::Path(path)) => {
                assert!(path.starts_with('{'));
            }
            (found, error) => assert_eq!(found, Err(error), "{path}"),
        }
    }
    let long = format!("/{{target_host}}/{{target_port}}/{}", "x".repeat(4100));
    assert_eq!(
        PathTemplate::parse(&long),
        Err(TemplateError::Length(long.len()))
    );
}

// Row C3: the same for what only a client is told.
#[test]
fn a_template_is_absolute_and_of_a_proxy() {
    use TemplateError as E;
    const PATH: &str = "/{target_host}/{target_port}";
    let authority = |authority: &str, error| E::Authority {
        authority: authority.into(),
        error,
    };
    for (start, error) in [
        ("http://a", E::Scheme(format!("http://a{PATH}").into())),
        ("", E::Scheme(PATH.into())),
        ("//a", E::Scheme(format!("//a{PATH}").into())),
        ("{s}://a", E::Scheme(format!("{{s}}://a{PATH}").into())),
        ("https://", authority("", UriError::NoHost)),
        ("https://:443", authority(":443", UriError::NoHost)),
        ("https://a:0", authority("a:0", UriError::Port("0".into()))),
        ("https://u@a", E::UserInfo("u@a".into())),
        ("https://{a}", E::Place("{a}".into())),
        ("https://a:{p}", E::Place("a:{p}".into())),
    ] {
        assert_eq!(
            Template::parse(&format!("{start}{PATH}")),
            Err(error),
            "{start}"
        );
    }
    let template = Template::parse(&format!("HTTPS://[::1]:8443{PATH}")).expect("a template");
    assert_eq!(template.expand(&target("a:1")), "https://[::1]:8443/a/1");
}

#[test]
fn a_proxy_refuses_what_it_could_match_in_two_ways() {
    for (path, what) in [
        ("/{target_host}-{target_port}", "-"),
        ("/{target_host}x{target_port}", "x"),
        ("/{target_host}%2F{target_port}", "%2F"),
        ("/{target_host,x},{target_port}", ","),
        ("/t?a={target_host}.x&b={target_port}", ".x"),
        ("/t{?target_host,target_port}x", "x"),
        ("/t{?target_host,target_port,x}&x=1", "x"),
        ("/t{?target_host}&{target_port}", "&{"),
        ("/t{?target_host}&a{target_port}", "a"),
        ("/t{?target_host}&target_host={target_port}", "target_host"),
    ] {
        let ambiguous = Err(TemplateError::Ambiguous(what.into()));
        assert_eq!(PathTemplate::parse(path), ambiguous, "{path}");
        // A client does as it is told: some proxies know better.
        expanded(path, &target("a:1"));
    }
}
