//! A server in a process of its own, and what can be known of it from outside.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server to attack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `aqueduct serve --demo`, which counts no handlers.
    Program,
    /// Handlers on tokio that never finish.
    Tokio,
    /// A loop on mio that never answers.
    Mio,
}

impl Kind {
    /// Every server.
    pub const ALL: &[Self] = &[Self::Tokio, Self::Mio, Self::Program];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Tokio => "tokio",
            Self::Mio => "mio",
        }
    }

    /// The server of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.name() == name)
    }

    /// A path whose handler takes longer than any attack and reads nothing.
    #[must_use]
    pub const fn hang(self) -> &'static str {
        match self {
            Self::Program => "/slow?ms=60000",
            _ => "/hang",
        }
    }

    /// A path whose handler reads all content, then answers.
    #[must_use]
    pub const fn sink(self) -> &'static str {
        match self {
            Self::Program => "/sha256",
            _ => "/sink",
        }
    }

    /// A path with more content than anybody reads.
    #[must_use]
    pub const fn big(self) -> &'static str {
        match self {
            Self::Program => "/bytes/1000000000000",
            _ => "/big",
        }
    }

    /// A path whose session takes everything.
    #[must_use]
    pub const fn open_session(self) -> &'static str {
        match self {
            Self::Program => "/echo",
            _ => "/take",
        }
    }

    /// A path whose session takes no datagram and no unidirectional stream.
    #[must_use]
    pub const fn idle_session(self) -> &'static str {
        match self {
            Self::Program => "/reset",
            _ => "/idle",
        }
    }

    /// A path whose handler answers at once, in a few bytes.
    #[must_use]
    pub const fn quick(self) -> &'static str {
        match self {
            Self::Program => "/status/204",
            _ => "/",
        }
    }
}

/// What a server counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Bytes allocated.
    pub held: u64,
    /// Most bytes that were allocated at once.
    pub held_peak: u64,
    /// Handlers at work.
    pub handlers: u64,
    /// Most handlers that were at work at once.
    pub handlers_peak: u64,
    /// Handlers that ever began.
    pub started: u64,
    /// Lines heard: later counters have a larger number.
    pub line: u64,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// Its QUIC port.
    pub address: SocketAddr,
    /// Its page.
    pub page: Option<SocketAddr>,
    child: Child,
    counters: Arc<Mutex<Counters>>,
    panics: Arc<AtomicU64>,
}

impl Server {
    /// Starts a server; it is ready when this returns. A brisk one has short deadlines, if it
    /// is one of ours.
    ///
    /// # Errors
    /// It is not built, or says nothing.
    pub fn start(kind: Kind, args: &[&str], brisk: bool) -> io::Result<Self> {
        let program = match kind {
            Kind::Program => "attack-program",
            Kind::Tokio => "attack-tokio",
            Kind::Mio => "attack-mio",
        };
        let path = std::env::current_exe()?.with_file_name(program);
        if !path.exists() {
            let why = format!("build {} first", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        let folder = path.parent().unwrap_or(&path).display().to_string();
        let args = args.iter().map(|arg| arg.replace("{bin}", &folder));
        // As many descriptors as most systems give: attackers try to use them up.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\""]);
        command.arg(&path);
        if kind == Kind::Program {
            command.args(["--json", "serve", "--demo", "--listen", "127.0.0.1:0"]);
            command.args(["--page", "127.0.0.1:0"]);
        } else {
            command.arg("127.0.0.1:0");
            command.args(brisk.then_some("brisk"));
        }
        // One arena that gives back what is free: what is left is what is held.
        let env = [
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_TRIM_THRESHOLD_", "131072"),
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
        ];
        let mut child = command
            .args(args)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;

        let panics = Arc::new(AtomicU64::new(0));
        let stderr = child.stderr.take().expect("it is piped");
        let count = Arc::clone(&panics);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("panicked at") {
                    count.fetch_add(1, Ordering::Relaxed);
                    eprintln!("{program}: {line}");
                }
            }
        });

        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // Counters may come before it is ready.
        let ready = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let ready: Value = serde_json::from_str(&line).ok()?;
            let address = ready["address"].as_str()?.parse().ok()?;
            Some((ready, address))
        });
        let Some((ready, address)) = ready else {
            let _ = child.kill();
            return Err(io::Error::other(format!("{program} is not ready")));
        };
        let page = ready["page"].as_str().and_then(|url| {
            let address = url.trim_start_matches("http://").trim_end_matches('/');
            address.parse().ok()
        });
        let counters = Arc::new(Mutex::new(Counters::default()));
        let heard = Arc::clone(&counters);
        // Read to the end whatever happens: a full pipe would stop the server.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(value) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                // The program has more to tell.
                if value["held"].is_null() {
                    continue;
                }
                let number = |name: &str| value[name].as_u64().unwrap_or_default();
                let mut counters = heard.lock().unwrap_or_else(PoisonError::into_inner);
                *counters = Counters {
                    held: number("held"),
                    held_peak: number("held_peak"),
                    handlers: number("handlers"),
                    handlers_peak: number("handlers_peak"),
                    started: number("started"),
                    line: counters.line + 1,
                };
            }
        });
        Ok(Self {
            kind,
            address,
            page,
            child,
            counters,
            panics,
        })
    }

    /// What it counts at present.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it counts from now on: waits for a line or two, half a second at most.
    #[must_use]
    pub fn fresh_counters(&self) -> Counters {
        let line = self.counters().line;
        let began = Instant::now();
        while self.counters().line < line + 2 && began.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(5));
        }
        self.counters()
    }

    /// Resident bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Most resident bytes since [`Self::forget_peak`].
    #[must_use]
    pub fn resident_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Begins a new peak of resident bytes (proc(5), `clear_refs`).
    pub fn forget_peak(&self) {
        // Where that is not allowed, the peak is that since the start.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }

    fn status(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    /// Whether the process lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Panics that it printed.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
