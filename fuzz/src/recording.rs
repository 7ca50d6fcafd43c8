//! Recordings as strangers send them: real ones with lines lost, repeated, moved
//! and scribbled on, and text that never was one. Reading and replaying it ends
//! with an answer, and with the same one the second time.

use std::sync::OnceLock;
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_record::HEADER;
use aqueduct_record::{Recording, ReplayError, Replayed};
use http::{HeaderValue, Method, StatusCode};

use crate::input::Input;

/// Lines of a mutated recording; more show nothing that fewer would not.
const MAX_LINES: usize = 2_000;

/// Bytes of a mutated recording.
pub(crate) const MAX_TEXT: usize = 1 << 17;

/// Numbers at the edges of what words stand for.
const NUMBERS: [u64; 12] = [
    0,
    1,
    3,
    63,
    1 << 14,
    1 << 16,
    1 << 20,
    (1 << 26) + 1,
    1 << 32,
    (1 << 62) - 1,
    1 << 62,
    u64::MAX,
];

/// Words that mean something in some place.
const WORDS: [&str; 26] = [
    "-",
    "%",
    "%ff",
    "!a",
    "=",
    "<",
    ">",
    "+",
    "in",
    "do",
    "due",
    "ev",
    "bytes",
    "end",
    "path",
    "udp",
    "new",
    "open",
    "blocked",
    "finished",
    "reset",
    "unknown",
    "*65536.",
    "*18446744073709551615.00",
    "true",
    "bi",
];

/// The first byte chooses: text behind the header, or a recording and what becomes
/// of its lines.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let bases = bases();
    let choice = input.byte();
    let Some(base) = bases.get(usize::from(choice) % (bases.len() + 1)) else {
        let text = String::from_utf8_lossy(input.take(usize::MAX));
        go_through(&format!("{HEADER}{text}"));
        return;
    };
    let mut lines: Vec<String> = base.lines().map(str::to_owned).collect();
    while !input.is_empty() && !lines.is_empty() && lines.len() < MAX_LINES {
        mutate(&mut lines, &mut input);
        if lines.iter().map(String::len).sum::<usize>() > MAX_TEXT {
            break;
        }
    }
    go_through(&format!("{HEADER}{}\n", lines.join("\n")));
}

/// Reads and replays it twice.
fn go_through(text: &str) {
    let replays = |recording: &Recording<'_>| -> Vec<_> {
        let connections = recording.connections().iter();
        connections
            .map(|connection| {
                let mut last = Duration::ZERO;
                connection.replay(testing::epoch(), &mut |at, event| {
                    last = at;
                    assert!(!event.is_empty());
                })
            })
            .collect()
    };
    match Recording::read(text) {
        Err(error) => assert!(error.line() <= text.lines().count(), "{error}"),
        Ok(recording) => {
            let results = replays(&recording);
            assert_eq!(results, replays(&recording));
            for result in &results {
                check(result, text);
            }
        }
    }
}

/// A result names a line that is there.
fn check(result: &Result<Replayed, ReplayError>, text: &str) {
    let Err(error) = result else { return };
    assert!(!error.to_string().is_empty());
    let (line, recorded) = match error {
        ReplayError::TooMuchMemory { line } => (*line, None),
        ReplayError::Recording(error) => (error.line(), None),
        ReplayError::Divergence(divergence) => {
            assert_ne!(divergence.recorded, divergence.replayed);
            (divergence.line, divergence.recorded.as_deref())
        }
        error => panic!("{error}"),
    };
    let there = line.checked_sub(1).and_then(|at| text.split('\n').nth(at));
    assert!(there.is_some(), "line {line} of {error}");
    assert!(recorded.is_none() || recorded == there, "{error}");
}

fn mutate(lines: &mut Vec<String>, input: &mut Input<'_>) {
    let kind = input.below(13);
    let (at, other) = (place(input, lines.len()), place(input, lines.len()));
    match kind {
        0 => drop(lines.remove(at)),
        1 => {
            let line = lines[other].clone();
            lines.insert(at, line);
        }
        2 => lines.swap(at, other),
        3 => with_word(lines, at, input, |_, input| {
            NUMBERS[input.below(NUMBERS.len())].to_string()
        }),
        4 => with_word(lines, at, input, |_, input| input.number().to_string()),
        5 => with_word(lines, at, input, |_, input| {
            WORDS[input.below(WORDS.len())].to_owned()
        }),
        6 => {
            let words: Vec<String> = lines[other].split(' ').map(str::to_owned).collect();
            with_word(lines, at, input, |_, input| {
                words[input.below(words.len())].clone()
            });
        }
        7 => with_word(lines, at, input, |_, input| text(input)),
        // Numbers inside of words: lists, settings, keys of streams, runs of zeros.
        8 => with_word(lines, at, input, |word, input| {
            let number = NUMBERS[input.below(NUMBERS.len())].to_string();
            let which = input.below(4);
            let digits = |c: &char| c.is_ascii_digit();
            let start = word.match_indices(|c: char| c.is_ascii_digit());
            // Where a number begins, so many of them on.
            let Some((start, _)) = start
                .filter(|(at, _)| !word[..*at].ends_with(|c: char| c.is_ascii_digit()))
                .nth(which)
            else {
                return number;
            };
            let len = word[start..].chars().take_while(digits).count();
            [&word[..start], &number, &word[start + len..]].concat()
        }),
        9 => lines.truncate(at + 1),
        // The same again and again: what a line makes grow must have an end.
        10 => {
            let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 16));
            let block = lines[from..=to].to_vec();
            for _ in 0..input.byte() {
                lines.splice(to..to, block.iter().cloned());
                if lines.len() >= MAX_LINES {
                    break;
                }
            }
        }
        11 => lines.insert(at, text(input)),
        _ => {
            let tail = text(input);
            lines[at].push_str(&tail);
        }
    }
}

fn place(input: &mut Input<'_>, len: usize) -> usize {
    (usize::from(input.byte()) << 8 | usize::from(input.byte())) % len
}

/// Replaces a word of a line, or the value in a `name=value`.
fn with_word(
    lines: &mut [String],
    at: usize,
    input: &mut Input<'_>,
    new: impl FnOnce(&str, &mut Input<'_>) -> String,
) {
    let mut words: Vec<String> = lines[at].split(' ').map(str::to_owned).collect();
    let which = input.below(words.len());
    let word = words[which].clone();
    words[which] = match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => format!("{name}={}", new(value, input)),
        _ => new(&word, input),
    };
    lines[at] = words.join(" ");
}

fn text(input: &mut Input<'_>) -> String {
    String::from_utf8_lossy(input.chunk()).into_owned()
}

/// Recordings to begin with, without their headers, made once.
fn bases() -> &'static [String] {
    static BASES: OnceLock<Vec<String>> = OnceLock::new();
    BASES.get_or_init(|| {
        aqueduct_tests::replayed::replay_all();
        let [request, session] = [requests(), sessions()];
        // An endpoint's notes between the lines, and another endpoint's header.
        let shared: String = (session.lines().enumerate())
            .map(|(at, line)| match at % 8 {
                0 => format!("- udp {at} in 1200\n{line}\n"),
                3 => format!("{HEADER}# masked\n{line}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let bases = vec![request, session, shared];
        for base in &bases {
            let text = format!("{HEADER}{base}");
            let recording = Recording::read(&text).expect("a recording");
            for connection in recording.connections() {
                let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
                assert!(
                    replayed.as_ref().is_ok_and(|replayed| replayed.complete),
                    "{replayed:?}"
                );
            }
        }
        bases
    })
}

fn lines_of(mut pair: LoopbackPair) -> String {
    let text = pair.recording();
    text.strip_prefix(HEADER).unwrap_or(&text).to_owned()
}

/// Requests with bodies, interim responses, trailers, a reset and a drain.
fn requests() -> String {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let uri = "https://example.com/some/path?query=1".parse();
    let mut head = RequestHead::new(Method::POST, uri.expect("an address"));
    for (name, value) in [("cookie", "id=1234567"), ("x-note", "short")] {
        head.headers.insert(name, HeaderValue::from_static(value));
    }
    for _ in 0..2 {
        let stream = pair.client().request(&head, End::More).expect("a request");
        let asked = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
        pair.transfer(Side::Client, stream, asked, &[7; 100]);
        for (status, end) in [(103, End::More), (200, End::More)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let head = ResponseHead::new(status);
            pair.server().respond(asked, &head, end).expect("answers");
        }
        pair.write_all(Side::Server, asked, vec![1; 3000])
            .expect("room");
        let trailers = head.headers.clone();
        pair.server().trailers(asked, &trailers).expect("ends");
        let read = pair.read_to_end(Side::Client, stream);
        assert_eq!(read.map(|bytes| bytes.len()), Ok(3000));
        let _ = pair.client().send(stream).map(|mut half| half.reset(0x10c));
        pair.drive();
    }
    let until = pair.now() + Duration::from_secs(1);
    pair.server().drain(until);
    pair.advance(Duration::from_secs(2));
    lines_of(pair)
}

/// A session with streams and datagrams of both sides, and one that is refused.
fn sessions() -> String {
    let mut config = Config::default();
    config.extra_settings = vec![(0x4d, 7)];
    let mut pair = LoopbackPair::new(config.clone(), config, Knobs::default());
    pair.connect();
    let (client, server) = pair.session("https://example.com/wt?token=secret");
    for (side, session) in [(Side::Client, client), (Side::Server, server)] {
        for dir in [Dir::Bi, Dir::Uni] {
            let here = pair.access(side).webtransport(session).open_stream(dir);
            let here = here.expect("a stream");
            let there = expect_event!(
                pair, side.peer(), Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
            );
            pair.transfer(side, here, there, &[9; 50]);
        }
        pair.access(side)
            .send_datagram(session, b"ping")
            .expect("room");
        pair.drive();
        let back = match side {
            Side::Client => server,
            Side::Server => client,
        };
        let _ = pair.access(side.peer()).recv_datagram(back);
    }
    let uri = "https://example.com/other".parse().expect("an address");
    let request = aqueduct_core::webtransport::ConnectRequest::new(uri);
    pair.client().open_session(&request).expect("a session");
    let asked = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    pair.server()
        .webtransport(asked)
        .reject(StatusCode::FORBIDDEN)
        .expect("rejects");
    pair.client().webtransport(client).drain().expect("drains");
    pair.drive();
    pair.client()
        .webtransport(client)
        .close(3, "enough of it")
        .expect("closes");
    pair.drive();
    pair.net.end(Side::Client).close(0x100, "good bye".into());
    pair.drive();
    let _ = pair.events(Side::Client);
    let _ = pair.events(Side::Server);
    lines_of(pair)
}
