//! The honest client: 325 requests a second on a connection of its own, each timed from
//! when it was due, so that a server that stalls is not asked less often.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quinn_proto::StreamId;

use crate::net::Net;
use crate::server::Kind;
use crate::wire;

/// Where honest clients come from: another /24 than attackers.
pub const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));
/// Time between two requests.
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / 325);
/// Requests under way at most; those beyond are sent late, and timed from when they were due.
const UNDER_WAY: usize = 64;

/// What a stretch of time looked like to the honest client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Requests answered.
    pub answered: usize,
    /// Requests that were due and not answered while it lasted.
    pub unanswered: usize,
    /// Half were answered within.
    pub p50: Duration,
    /// 99 of 100 were answered within.
    pub p99: Duration,
    /// How long it lasted.
    pub lasted: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    stretch: AtomicUsize,
    stop: AtomicBool,
    /// Times of answers, by the stretch in which they were due; none for those that were
    /// not answered.
    times: Mutex<BTreeMap<usize, Vec<Option<Duration>>>>,
    ends: Mutex<Vec<String>>,
}

/// The client, in a thread of its own.
#[derive(Debug)]
pub struct Honest {
    shared: Arc<Shared>,
    began: Instant,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    /// Begins.
    ///
    /// # Errors
    /// No socket.
    pub fn start(kind: Kind, server: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let net = Net::new(server, HONEST)?;
        let theirs = Arc::clone(&shared);
        Ok(Self {
            shared,
            began: Instant::now(),
            thread: Some(thread::spawn(move || ask(net, kind, &theirs))),
        })
    }

    /// Ends a stretch of time and begins the next.
    pub fn seen(&mut self) -> Seen {
        let stretch = self.shared.stretch.fetch_add(1, Ordering::Relaxed);
        let lasted = std::mem::replace(&mut self.began, Instant::now()).elapsed();
        // What is under way is told by the client when it sees the next.
        thread::sleep(Duration::from_millis(20));
        let mut times = self
            .shared
            .times
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let all = times.remove(&stretch).unwrap_or_default();
        let mut sorted: Vec<Duration> = all.iter().map(|it| it.unwrap_or(lasted)).collect();
        sorted.sort_unstable();
        let at =
            |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().max(1) - 1));
        let answered = all.iter().flatten().count();
        Seen {
            answered,
            unanswered: all.len() - answered,
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
            lasted,
        }
    }

    /// How its connections ended, each time it lost one.
    #[must_use]
    pub fn ends(&self) -> Vec<String> {
        let ends = self.shared.ends.lock();
        ends.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, that was printed.
            let _ = thread.join();
        }
    }
}

fn ask(mut net: Net, kind: Kind, shared: &Shared) {
    let mut under_way: BTreeMap<StreamId, (usize, Instant)> = BTreeMap::new();
    let mut number = net.connect();
    let mut due = Instant::now();
    let mut stretch = 0;
    let get = wire::get(kind.quick());
    let tell = |stretch: usize, time: Option<Duration>| {
        let mut times = shared.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.entry(stretch).or_default().push(time);
    };
    while !shared.stop.load(Ordering::Relaxed) {
        let busy = net.turn();
        let now = Instant::now();
        let current = shared.stretch.load(Ordering::Relaxed);
        if current != stretch {
            // What was due in the stretch that is over has waited this long at least.
            while due <= now {
                tell(stretch, None);
                due += EVERY;
            }
            stretch = current;
            for (was, since) in under_way.values_mut().filter(|(was, _)| *was != current) {
                tell(*was, Some(now - *since));
                *was = usize::MAX;
            }
        }
        let Some(conn) = net.conns.get_mut(&number) else {
            let ends = std::mem::take(&mut net.ends).into_keys();
            let mut told = shared.ends.lock().unwrap_or_else(PoisonError::into_inner);
            told.extend(ends);
            drop(told);
            for (was, _) in std::mem::take(&mut under_way).into_values() {
                tell(was, None);
            }
            number = net.connect();
            continue;
        };
        for (over, answered) in [(&mut conn.done, true), (&mut conn.failed, false)] {
            for id in std::mem::take(over) {
                if let Some((was, since)) = under_way.remove(&id)
                    && was != usize::MAX
                {
                    tell(was, answered.then_some(now - since));
                }
            }
        }
        if conn.is_open() {
            while due <= now && under_way.len() < UNDER_WAY {
                let Some(id) = conn.whole_request(&get) else {
                    break;
                };
                under_way.insert(id, (stretch, due));
                due += EVERY;
            }
        } else {
            due = now;
        }
        if !busy {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// More than any answer that explains why there is no file.
const OF_FILE: u64 = 64 << 10;

/// How long it takes somebody new to connect and to be answered, or to get the beginning of a
/// large file; `None` after `limit`.
///
/// # Errors
/// No socket.
pub fn newcomer(
    kind: Kind,
    server: SocketAddr,
    file: Option<&str>,
    limit: Duration,
) -> io::Result<Option<Duration>> {
    let mut net = Net::new(server, HONEST)?;
    let began = Instant::now();
    let mut number = net.connect();
    let mut asked = None;
    while began.elapsed() < limit {
        if !net.turn() {
            thread::sleep(Duration::from_micros(100));
        }
        let Some(conn) = net.conns.get_mut(&number) else {
            // Refused: the next attempt may be luckier.
            thread::sleep(Duration::from_millis(20));
            (number, asked) = (net.connect(), None);
            continue;
        };
        if conn.is_open() && asked.is_none() {
            asked = conn.whole_request(&wire::get(file.unwrap_or(kind.quick())));
        }
        let Some(id) = asked else { continue };
        let over = conn.done.contains(&id);
        if over && file.is_some() {
            // Refused: it came to its end too soon.
            thread::sleep(Duration::from_millis(20));
            conn.done.clear();
            asked = None;
        } else if over || (file.is_some() && conn.heard(id) >= OF_FILE) {
            conn.close(Instant::now());
            net.turn();
            return Ok(Some(began.elapsed()));
        }
    }
    Ok(None)
}

/// The same of somebody who wants the page over HTTP/1.1.
#[must_use]
pub fn visitor(page: SocketAddr, limit: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut socket = TcpStream::connect_timeout(&page, limit).ok()?;
    socket.set_read_timeout(Some(limit)).ok()?;
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request).ok()?;
    let mut answer = [0; 15];
    socket.read_exact(&mut answer).ok()?;
    (&answer == b"HTTP/1.1 200 OK").then(|| began.elapsed())
}
