//! The works: what is done, how it is counted, and in what it is told.

use crate::count::Count;

/// What a client does, without end, until it has been measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// One stream, as fast as it goes.
    Bulk,
    /// The same, and all of it comes back.
    BulkEcho,
    /// One stream of 100 bytes after another, as the server allows; beside one that the
    /// server does not read, or not.
    Streams { silent: bool },
    /// Datagrams of such a size come back and are sent again, over so many sessions of one
    /// connection.
    Echo { size: usize, sessions: usize },
    /// Datagrams of such a size, as fast as they are taken.
    Flood { size: usize },
    /// Answers of such a size, so many requests at once.
    Get { size: usize, at_once: usize },
    /// Connections that are closed once they are there, so many at once; for sessions or
    /// without.
    Starts { session: bool, at_once: usize },
    /// So many connections that do nothing.
    Idle { session: bool, count: usize },
}

/// Datagrams that are on their way of an echo.
pub const IN_FLIGHT: usize = 256;
/// What a server does with a stream is its first byte.
pub const ECHO: u8 = b'e';
pub const SINK: u8 = b's';
pub const SILENT: u8 = b'q';

/// What a contestant has to have for a work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Needs {
    /// Streams and datagrams, in a session where there are sessions.
    Streams,
    Datagrams,
    /// HTTP.
    Requests,
    /// Connections without sessions.
    Connections,
    Sessions,
    /// Several of them on a connection.
    ManySessions,
}

/// How the rate of a work is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Millions of bytes per second; CPU seconds per GiB.
    Bytes,
    /// So many per second; CPU microseconds for each.
    Each,
    /// KiB of memory of the server for each; CPU at rest.
    Memory,
}

#[derive(Debug)]
pub struct Work {
    pub name: &'static str,
    pub title: &'static str,
    pub load: Load,
    pub needs: Needs,
    pub unit: Unit,
    /// What is counted, by the server or the client.
    pub count: Count,
    pub by_server: bool,
}

const fn work(
    name: &'static str,
    title: &'static str,
    needs: Needs,
    (count, by_server): (Count, bool),
    load: Load,
) -> Work {
    let unit = match (count, load) {
        (Count::Bytes, _) => Unit::Bytes,
        (_, Load::Idle { .. }) => Unit::Memory,
        _ => Unit::Each,
    };
    Work {
        name,
        title,
        load,
        needs,
        unit,
        count,
        by_server,
    }
}

const fn get(name: &'static str, title: &'static str, size: usize, at_once: usize) -> Work {
    let load = Load::Get { size, at_once };
    work(name, title, Needs::Requests, DONE, load)
}

const DONE: (Count, bool) = (Count::Done, false);

pub const WORKS: &[Work] = &[
    work(
        "bulk",
        "bulk",
        Needs::Streams,
        (Count::Bytes, true),
        Load::Bulk,
    ),
    work(
        "bulk-echo",
        "bulk and back",
        Needs::Streams,
        (Count::Bytes, false),
        Load::BulkEcho,
    ),
    work(
        "streams",
        "streams of 100 B",
        Needs::Streams,
        (Count::Streams, true),
        Load::Streams { silent: false },
    ),
    work(
        "streams-silent",
        "the same beside a silent one",
        Needs::Streams,
        (Count::Streams, true),
        Load::Streams { silent: true },
    ),
    work(
        "echo-100",
        "datagram echo 100 B",
        Needs::Datagrams,
        (Count::Datagrams, false),
        Load::Echo {
            size: 100,
            sessions: 1,
        },
    ),
    work(
        "echo-1100",
        "datagram echo 1,100 B",
        Needs::Datagrams,
        (Count::Datagrams, false),
        Load::Echo {
            size: 1100,
            sessions: 1,
        },
    ),
    work(
        "echo-sessions-100",
        "datagram echo 100 B over 100 sessions",
        Needs::ManySessions,
        (Count::Datagrams, false),
        Load::Echo {
            size: 100,
            sessions: 100,
        },
    ),
    work(
        "echo-sessions-1000",
        "datagram echo 100 B over 1,000 sessions",
        Needs::ManySessions,
        (Count::Datagrams, false),
        Load::Echo {
            size: 100,
            sessions: 1000,
        },
    ),
    work(
        "flood-100",
        "flood 100 B, delivered",
        Needs::Datagrams,
        (Count::Datagrams, true),
        Load::Flood { size: 100 },
    ),
    work(
        "flood-1100",
        "flood 1,100 B, delivered",
        Needs::Datagrams,
        (Count::Datagrams, true),
        Load::Flood { size: 1100 },
    ),
    get("get-1", "GET 100 B, 1 at a time", 100, 1),
    get("get-10", "GET 100 B, 10 at once", 100, 10),
    get("get-100", "GET 100 B, 100 at once", 100, 100),
    get("get-1000", "GET 100 B, 1,000 at once", 100, 1000),
    get("get-10k", "GET 10 KB, 100 at once", 10_000, 100),
    get("get-1m", "GET 1 MB, 10 at once", 1_000_000, 10),
    work(
        "handshakes",
        "handshakes",
        Needs::Connections,
        DONE,
        Load::Starts {
            session: false,
            at_once: 8,
        },
    ),
    work(
        "handshakes-session",
        "handshakes with a session",
        Needs::Sessions,
        DONE,
        Load::Starts {
            session: true,
            at_once: 8,
        },
    ),
    work(
        "starts",
        "connections one after another",
        Needs::Connections,
        DONE,
        Load::Starts {
            session: false,
            at_once: 1,
        },
    ),
    work(
        "starts-session",
        "the same with a session",
        Needs::Sessions,
        DONE,
        Load::Starts {
            session: true,
            at_once: 1,
        },
    ),
    work(
        "idle",
        "2,000 idle connections",
        Needs::Connections,
        DONE,
        Load::Idle {
            session: false,
            count: 2000,
        },
    ),
    work(
        "idle-session",
        "2,000 idle connections with a session",
        Needs::Sessions,
        DONE,
        Load::Idle {
            session: true,
            count: 2000,
        },
    ),
];
