//! What an adapter was fed makes the core alone do the same again, and that is the
//! same on every adapter.

use aqueduct_runtimes_tests::runtime::{Runtime, record};
use aqueduct_runtimes_tests::trace::Trace;

/// The events of a client, on whatever adapter.
const CLIENT: &str = "\
connection: connected none
connection: settings
connection: draining server
connection: closed peer-drained
session 12: established 200 0 0
session 12: opened 19 uni
session 12: closed by client 7 done
session 20: established 200 0 0
session 20: draining
session 20: closed by client 0 bye
session 8: rejected 404 0 0
stream 0: response 1 :status 200
stream 24: response 1 :status 204
stream 4: response 1 :status 200
stream 4: trailers 1 etag 3000000
";

/// Those of a server.
const SERVER: &str = "\
connection: connected none
connection: settings
connection: draining server
connection: closed remote 256 %
session 12: requested https://localhost/chat 0 0 false
session 12: opened 16 bi
session 12: opened 18 uni
session 12: closed by client 7 done
session 20: requested https://localhost/late 0 0 false
session 20: closed by client 0 bye
session 8: requested https://localhost/nowhere 0 0 false
stream 0: request 4 :method GET :scheme https :authority localhost :path /hello
stream 24: request 4 :method POST :scheme https :authority localhost :path /drain
stream 4: request 4 :method POST :scheme https :authority localhost :path /echo
";

/// What an adapter notes when it is told an event, and the beginnings of such events
/// in its recording.
const NOTED: [(&[&str], &[&str]); 8] = [
    (&["connected"], &["connected"]),
    (&["draining"], &["draining"]),
    (&["closed: ", "Closed "], &["closed "]),
    (&["requested"], &["request "]),
    (&["accepted", "rejected"], &["requested ", "rejected "]),
    (&["established"], &["established "]),
    (&["200", "204"], &["response "]),
    (&["{"], &["trailers "]),
];

/// How many facts begin in one of these ways.
fn count(trace: &Trace, beginnings: &[&str]) -> usize {
    let is_one = |fact: &str| beginnings.iter().any(|begin| fact.starts_with(begin));
    let trace = trace.to_string();
    let facts = trace.lines().filter_map(|line| line.split_once(": "));
    facts.filter(|(_, fact)| is_one(fact)).count()
}

fn same_again(runtime: Runtime) {
    for ((trace, tape), expected) in record(runtime).into_iter().zip([CLIENT, SERVER]) {
        let again = tape.replay();
        let replayed = again.replayed;
        assert!(replayed.complete && replayed.inputs > 100, "{replayed:?}");
        let told = again.trace();
        assert_eq!(told.to_string(), expected);
        // They are what the adapter was told.
        for (facts, events) in NOTED {
            assert_eq!(
                count(&trace, facts),
                count(&told, events),
                "{facts:?} of\n{trace}"
            );
        }
    }
}

macro_rules! adapters {
    ($($test:ident $runtime:ident)*) => {$(
        /// Row A1
        #[test]
        fn $test() {
            same_again(Runtime::$runtime);
        }
    )*};
}

adapters! {
    what_tokio_was_fed_gives_the_same_events_again Tokio
    what_async_std_was_fed_gives_the_same_events_again AsyncStd
    what_smol_was_fed_gives_the_same_events_again Smol
    what_mio_was_fed_gives_the_same_events_again Mio
}
