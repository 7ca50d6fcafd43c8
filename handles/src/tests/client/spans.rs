//! Row D17: what a client tells of itself, by the names that its page has.

use std::sync::atomic::AtomicU64;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use super::*;

/// Writes down which spans begin and end.
#[derive(Clone, Default)]
struct Recorder(Arc<Told>);

#[derive(Default)]
struct Told {
    spans: AtomicU64,
    names: Mutex<Vec<&'static str>>,
    ended: Mutex<Vec<&'static str>>,
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "aqueduct::client"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut names = self.0.names.lock().expect("no panic");
        names.push(span.metadata().name());
        Id::from_u64(self.0.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn try_close(&self, id: Id) -> bool {
        let at = usize::try_from(id.into_u64()).expect("few") - 1;
        let name = self.0.names.lock().expect("no panic")[at];
        self.0.ended.lock().expect("no panic").push(name);
        true
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_have_the_names_of_the_page() {
    let recorder = Recorder::default();
    // Were there one alone, tracing would ask the thread that comes to a span first, which
    // may be another test's and have none.
    let _second = Dispatch::new(Recorder::default());
    with_default(recorder.clone(), || {
        let mut lab = Lab::new();
        let asked = lab.get();
        let theirs = lab.accept();
        let (_, mut server) = lab.request(&theirs);
        theirs.drain(Duration::from_secs(10));
        reply(&mut server);
        drop(lab.finish(&asked).expect("is answered"));
        lab.pass(Duration::from_secs(12));
    });
    let mut names = recorder.0.names.lock().expect("no panic").clone();
    let mut ended = recorder.0.ended.lock().expect("no panic").clone();
    names.sort_unstable();
    ended.sort_unstable();
    assert_eq!(names, ["draining", "handshake", "queue", "request"]);
    assert_eq!(ended, names);
}
