//! Row D18: how long alternatives count. Where they lead the runtimes' tests show.

use std::sync::OnceLock;

use super::*;

/// Names that are looked up.
type Asked = Arc<Mutex<Vec<String>>>;

/// A client whose names all lead to the server, and what it has looked up.
fn lab() -> (Lab, Asked) {
    lab_with(builder())
}

fn lab_with(builder: ClientBuilder) -> (Lab, Asked) {
    let asked = Asked::default();
    let looked = asked.clone();
    let resolve = move |host: &str, port: u16| -> Resolving {
        let name = format!("{host}:{port}");
        looked.lock().expect("no panic").push(name);
        Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) })
    };
    (Lab::with(builder.resolver(resolve)), asked)
}

/// A request on a connection of its own, whose answer has these fields; what was looked up.
fn ask(lab: &mut Lab, asked: &Asked, fields: &[(&str, &str)]) -> Vec<String> {
    let later = lab.get();
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    let mut answer = Response::builder();
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    let answer = answer.body(()).expect("valid");
    server.send.send_empty(answer).expect("not sent yet");
    drop(lab.finish(&later).expect("is answered"));
    theirs.close(Code::H3_NO_ERROR, "");
    lab.settle();
    std::mem::take(&mut *asked.lock().expect("no panic"))
}

const OWN: &str = "localhost:2";
const ALT: &str = "alt.example:2";

#[test]
fn an_alternative_counts_as_long_as_the_origin_says() {
    let (mut lab, asked) = lab();
    let said = ("alt-svc", r#"h3="alt.example:2"; ma=60"#);
    assert_eq!(ask(&mut lab, &asked, &[said]), [OWN]);
    lab.pass(Duration::from_secs(50));
    assert_eq!(ask(&mut lab, &asked, &[]), [ALT, OWN]);
    lab.pass(Duration::from_secs(11));
    assert_eq!(ask(&mut lab, &asked, &[]), [OWN], "it has expired");
    // An answer from a cache is as old as it says.
    assert_eq!(ask(&mut lab, &asked, &[said, ("age", "50")]), [OWN]);
    lab.pass(Duration::from_secs(11));
    assert_eq!(ask(&mut lab, &asked, &[]), [OWN]);
    // The same words again count anew.
    assert_eq!(ask(&mut lab, &asked, &[said]), [OWN]);
    lab.pass(Duration::from_secs(50));
    assert_eq!(ask(&mut lab, &asked, &[said]), [ALT, OWN]);
    lab.pass(Duration::from_secs(50));
    assert_eq!(ask(&mut lab, &asked, &[]), [ALT, OWN]);
}

#[test]
fn what_is_known_is_kept_when_it_changes_and_once_a_minute() {
    let kept = Arc::new(AtomicUsize::new(0));
    let (count, client) = (kept.clone(), Arc::new(OnceLock::<Client>::new()));
    let known = client.clone();
    let keep = move |all: Vec<_>| {
        // No lock is held.
        let known = known.get().expect("is there").alternatives();
        assert_eq!((known.len(), all.len()), (1, 1));
        count.fetch_add(1, Ordering::Relaxed);
    };
    let (mut lab, asked) = lab_with(builder().keep_alternatives(keep));
    assert!(client.set(lab.client.clone()).is_ok());
    let mut ask = |said, after, times| {
        lab.pass(Duration::from_secs(after));
        ask(&mut lab, &asked, &[("alt-svc", said)]);
        assert_eq!(kept.load(Ordering::Relaxed), times, "{said}");
    };
    let (first, second) = (r#"h3="alt.example:2""#, r#"h3="alt.example:2"; ma=90"#);
    ask(first, 0, 1);
    ask(first, 2, 1);
    ask(second, 2, 2);
    ask(second, 50, 2);
    ask(second, 20, 3);
}

#[test]
fn several_lines_are_one_list_and_what_is_malformed_is_not_heard() {
    let (mut lab, asked) = lab();
    let h2 = ("alt-svc", r#"h2=":443""#);
    let h3 = ("alt-svc", r#"h3="alt.example:2""#);
    assert_eq!(ask(&mut lab, &asked, &[h2, h3]), [OWN]);
    assert_eq!(ask(&mut lab, &asked, &[("alt-svc", "h3=")]), [ALT, OWN]);
    assert_eq!(ask(&mut lab, &asked, &[("alt-svc", "clear")]), [ALT, OWN]);
    assert_eq!(ask(&mut lab, &asked, &[]), [OWN]);
}
