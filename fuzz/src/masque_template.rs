//! Templates of MASQUE: a client's URI is matched back to its target, and no path or
//! target is read in two ways.

use aqueduct_core::masque::{PathTemplate, Target, Template};

/// What templates are made of where the input is not one itself.
const PIECES: [&str; 32] = [
    "/",
    "{target_host}",
    "{target_port}",
    "/",
    "{?target_host,target_port}",
    "&",
    "?",
    "=",
    "{?target_port}",
    "{&target_host}",
    "{&target_port}",
    "{target_host,target_port}",
    "{x}",
    "{x,target_host}",
    "{target_port,x}",
    "{?x}",
    "{&x}",
    "{?x,target_port}",
    ",",
    "a",
    "x=",
    "target_host=",
    "-",
    "%41",
    "%",
    ":",
    "!",
    "{",
    "}",
    "#",
    "{+x}",
    "{x:1}",
];

/// Targets that everything is expanded with, besides the one in the input.
const TARGETS: [&str; 4] = [
    "[2001:db8::1]:443",
    "192.0.2.1:65535",
    "a_b-c.example.:1",
    "target_host:2",
];

/// Reads the input as a template, a path and a target, a line each; and its bytes as
/// numbers of pieces of a template.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (template, path, target) = (line(), line(), line());
    let targets: Vec<Target> = [target]
        .iter()
        .chain(&TARGETS)
        .filter_map(|one| read(one))
        .collect();

    let pieces = data.iter().take(64);
    let pieces: String = pieces
        .filter_map(|byte| PIECES.get(usize::from(*byte)))
        .copied()
        .collect();
    for text in [template, &format!("/{pieces}")] {
        if let Ok(template) = Template::parse(text) {
            assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }
        let Ok(proxy) = PathTemplate::parse(text) else {
            continue;
        };
        assert_eq!(PathTemplate::parse(&proxy.to_string()).as_ref(), Ok(&proxy));
        // What a proxy may use, it may tell its clients.
        let client = Template::parse(&format!("https://proxy.example{text}"));
        let client = client.expect("a proxy has all the rules of a client");
        for target in &targets {
            returns(&client, &proxy, target);
        }
        if let Some(Ok(found)) = proxy.matches(path) {
            returns(&client, &proxy, &found);
        }
    }
}

/// A target, which is read the same again.
fn read(text: &str) -> Option<Target> {
    let target: Target = text.parse().ok()?;
    assert_eq!(target.to_string().parse().as_ref(), Ok(&target));
    let (host, port) = (target.host.to_string(), target.port.to_string());
    assert_eq!(Target::from_variables(&host, &port).as_ref(), Ok(&target));
    Some(target)
}

fn returns(client: &Template, proxy: &PathTemplate, target: &Target) {
    let uri = client.expand(target);
    assert_eq!(
        uri.authority().map(|one| one.as_str()),
        Some("proxy.example")
    );
    let path = uri.path_and_query().map(|path| path.as_str());
    let found = path.and_then(|path| proxy.matches(path));
    assert_eq!(found.as_ref(), Some(&Ok(target.clone())), "{proxy}: {uri}");
}
