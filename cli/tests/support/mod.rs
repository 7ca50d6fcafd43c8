//! What the tests of the program share: `aqueduct serve` as a child, and runs of the other commands.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate that uses a part of it"
)]

pub mod scripted;
pub mod targets;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aqueduct_cli::args;
use aqueduct_cli::client::{Client, Dialer};
use aqueduct_cli::output::Output;
use aqueduct_cli::record::Recording;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_aqueduct");

/// No run may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// Fails unless the exit code is `code` and standard error holds `word`.
    #[track_caller]
    pub fn expect(&self, code: i32, word: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(
            self.stderr.contains(word),
            "`{word}` is not in: {}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.expect(0, "")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The JSON lines of standard output.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("a line of JSON");
        self.text().lines().map(parse).collect()
    }
}

/// Runs `aqueduct` to its end.
#[track_caller]
pub fn aqueduct<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Run {
    aqueduct_in(&[], arguments)
}

/// Runs `aqueduct` to its end, with these variables in its environment.
#[track_caller]
pub fn aqueduct_in<I: AsRef<std::ffi::OsStr>>(
    variables: &[(&str, &str)],
    arguments: impl IntoIterator<Item = I>,
) -> Run {
    let mut child = command(arguments)
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stderr = thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).map(|_| text)
    });
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // The reader may have given up; then nobody wants it.
        let _ = done.send(out.read_to_end(&mut bytes).map(|_| bytes));
    });
    let Ok(stdout) = ended.recv_timeout(PATIENCE) else {
        child.kill().unwrap();
        panic!("the program had not ended after {PATIENCE:?}");
    };
    Run {
        code: child.wait().unwrap().code(),
        stdout: stdout.unwrap(),
        stderr: stderr.join().unwrap().unwrap(),
    }
}

/// A run that is under way.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Until it is closed.
    pub stdin: Option<ChildStdin>,
}

impl Running {
    /// `aqueduct` with a pipe for each stream.
    #[track_caller]
    pub fn start<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Self {
        let mut child = command(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stdin: child.stdin.take(),
            child,
        }
    }

    /// The next line of standard output, without its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a signal by its name.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Run {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        self.stdout.read_to_end(&mut stdout).unwrap();
        let mut err = self.child.stderr.take().unwrap();
        err.read_to_string(&mut stderr).unwrap();
        Run {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }
}

#[cfg(unix)]
fn kill(name: &str, id: u32) {
    let sent = Command::new("kill")
        .args(["-s", name, &id.to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

fn command<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    prepared(Command::new(PROGRAM), arguments)
}

fn prepared<I: AsRef<std::ffi::OsStr>>(
    mut command: Command,
    arguments: impl IntoIterator<Item = I>,
) -> Command {
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("SSLKEYLOGFILE");
    for variable in ["BEARER", "BASIC", "PROXY_BEARER", "PROXY_BASIC", "PASSWORD"] {
        command.env_remove(format!("AQUEDUCT_{variable}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// `aqueduct serve --json`, `proxy` or `tunnel` on a free port, which ends with this value.
pub struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// The first line.
    pub ready: Value,
    folder: TempDir,
}

impl Server {
    /// With the demonstration and further arguments.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self::begin(arguments, false)
    }

    /// The same, with a pipe as its standard error that nobody reads before [`Server::rest`].
    #[track_caller]
    pub fn unread(arguments: &[&str]) -> Self {
        Self::begin(arguments, true)
    }

    /// The same in a process that may have so many descriptors.
    #[cfg(unix)]
    #[track_caller]
    pub fn with_descriptors(count: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, PROGRAM]);
        Self::begin_with(shell, "serve", arguments, true)
    }

    /// `aqueduct proxy --json` with these variables in its environment, and a pipe as its standard
    /// error.
    #[track_caller]
    pub fn proxy(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut program = Command::new(PROGRAM);
        program.envs(variables.iter().copied());
        Self::begin_with(program, "proxy", arguments, true)
    }

    /// `aqueduct tunnel --json` through this proxy, which it trusts.
    #[track_caller]
    pub fn tunnel(&self, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = prepared(Command::new(PROGRAM), ["tunnel", "--json", "--proxy"]);
        command.arg(self.url("")).arg("--cacert").arg(self.cert());
        command.args(arguments);
        Self::launch(command, folder, true)
    }

    #[track_caller]
    fn begin(arguments: &[&str], pipe: bool) -> Self {
        Self::begin_with(Command::new(PROGRAM), "serve", arguments, pipe)
    }

    #[track_caller]
    fn begin_with(program: Command, name: &str, arguments: &[&str], pipe: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cert = folder.path().join("cert.pem");
        let variables: Vec<_> = program
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let mut command = prepared(program, [name, "--json", "--cert-out"]);
        command.envs(variables);
        command.arg(&cert);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        Self::launch(command, folder, pipe)
    }

    #[track_caller]
    fn launch(mut command: Command, folder: TempDir, pipe: bool) -> Self {
        let mut child = command
            .stderr(if pipe {
                Stdio::piped()
            } else {
                Stdio::inherit()
            })
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let ready = next_line(&mut lines);
        Self {
            lines,
            stderr: child.stderr.take(),
            child,
            ready,
            folder,
        }
    }

    /// The URL of a path that starts with a slash.
    pub fn url(&self, path: &str) -> String {
        let root = self.ready["url"].as_str().expect("a URL");
        format!("{}{path}", root.trim_end_matches('/'))
    }

    /// Where it listens.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        let address = self.ready["address"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    /// The certificate, for `--cacert`.
    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// A place for files of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a client command that trusts this server.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        let cert = self.cert();
        let trust = ["--cacert", cert.to_str().unwrap()];
        aqueduct(arguments.iter().copied().chain(trust))
    }

    /// The next JSON line.
    #[track_caller]
    pub fn line(&mut self) -> Value {
        next_line(&mut self.lines)
    }

    /// What is left on standard output and standard error to their ends.
    pub fn rest(&mut self) -> (String, String) {
        let mut err = self.stderr.take().expect("it was piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text)
        });
        let mut stdout = String::new();
        self.lines.read_to_string(&mut stdout).unwrap();
        (stdout, stderr.join().unwrap().unwrap())
    }

    /// The lines of standard error, as they come.
    pub fn logs(&mut self) -> impl Iterator<Item = String> + use<> {
        let stderr = self.stderr.take().expect("it was piped");
        BufReader::new(stderr).lines().map_while(Result::ok)
    }

    /// A connection of a client in this process that trusts this server.
    pub async fn connect(&self) -> Client {
        let url = self.url("/");
        let cert = self.cert();
        let arguments = ["aqueduct", "wt", &url, "--cacert", cert.to_str().unwrap()];
        let cli = args::parse(arguments.map(Into::into)).expect("arguments");
        let args::Command::Wt(wt) = cli.command else {
            panic!("another command")
        };
        let output = Output::new(true);
        let dialer = Dialer::new(&wt.connect, &Recording::default(), output).expect("a dialer");
        let dialer = dialer.http(wt.webtransport.config());
        dialer.dial(&wt.url).await.expect("a connection")
    }

    /// Sends a signal by its name.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn next_line(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in `{line}`"))
}

/// Byte `i` of `/bytes/N`.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| ((i * 131 + (i >> 8)) & 255) as u8)
        .collect()
}
