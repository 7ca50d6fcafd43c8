//! What the cases need of a stack.

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The words of the command line after what to do.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) url: Option<String>,
    /// SHA-256 of the server's certificate.
    pub(crate) hash: Vec<u8>,
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) protocols: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut seen = Self::default();
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--hash" => seen.hash = unhex(&next()?)?,
                "--cert" => seen.cert = next()?,
                "--key" => seen.key = next()?,
                "--protocols" => seen.protocols = next()?.split(',').map(str::to_owned).collect(),
                _ if word.starts_with("https:") => seen.url = Some(word),
                _ => {
                    let (name, value) = word.split_once('=').ok_or(format!("what is {word}?"))?;
                    seen.values.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(seen)
    }

    pub(crate) fn url(&self) -> Result<&str> {
        Ok(self.url.as_deref().ok_or("no URL")?)
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let value = self.text(name)?;
        value
            .parse()
            .map_err(|_| format!("{name}={value} is no number").into())
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        Ok(self.values.get(name).ok_or(format!("no {name}=..."))?)
    }
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| {
            Ok(u8::from_str_radix(
                text.get(at..at + 2).ok_or("odd hex")?,
                16,
            )?)
        })
        .collect()
}

/// Prints one line for the script.
pub(crate) fn say(line: &Value) {
    println!("{line}");
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With a code and a reason, as the stack tells them.
    Closed(u64, String),
    /// In another way.
    Other(String),
}

/// Why reading or writing stopped.
#[derive(Debug)]
pub(crate) enum Cut {
    /// RESET_STREAM or STOP_SENDING with an application's code, or a code that is none.
    Code(Option<u32>),
    Other(Error),
}

impl From<Cut> for Error {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Code(code) => format!("the peer gave the stream up with {code:?}").into(),
            Cut::Other(error) => error,
        }
    }
}

/// What a server makes of a connect.
pub(crate) enum Connected<T> {
    Session(T),
    /// Rejected, with the status if the stack tells it.
    Rejected(Option<u16>),
}

pub(crate) trait Stack: 'static {
    type Session: Session;
    type Server: Server<Session = Self::Session>;

    async fn connect(arguments: &Arguments) -> Result<Connected<Self::Session>>;
    async fn listen(arguments: &Arguments) -> Result<Self::Server>;
}

pub(crate) trait Server {
    type Session: Session;
    type Request: Request<Session = Self::Session>;

    fn address(&self) -> Result<std::net::SocketAddr>;
    async fn accept(&mut self) -> Result<Self::Request>;
}

pub(crate) trait Request: 'static {
    type Session: Session;

    /// Path and query.
    fn target(&self) -> String;
    /// Application protocols the client offers; `None` where the stack has no notion of them.
    fn protocols(&self) -> Option<Vec<String>>;
    async fn accept(self, protocol: Option<String>) -> Result<Self::Session>;
    async fn reject(self, status: u16) -> Result<()>;
}

pub(crate) trait Session: Clone + 'static {
    type Send: SendHalf;
    type Recv: RecvHalf;

    fn protocol(&self) -> Option<String>;
    async fn open_bi(&self) -> Result<(Self::Send, Self::Recv)>;
    async fn open_uni(&self) -> Result<Self::Send>;
    async fn accept_bi(&self) -> Result<(Self::Send, Self::Recv)>;
    async fn accept_uni(&self) -> Result<Self::Recv>;
    fn send_datagram(&self, payload: &[u8]) -> Result<()>;
    async fn recv_datagram(&self) -> Result<Vec<u8>>;
    /// Closes, and waits until that is told.
    async fn close(&self, code: u32, reason: &str) -> Result<()>;
    async fn closed(&self) -> End;
}

pub(crate) trait SendHalf: 'static {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Cut>;
    async fn finish(&mut self) -> Result<(), Cut>;
    fn reset(&mut self, code: u32) -> Result<()>;
    /// The application code of a STOP_SENDING.
    async fn stopped(&mut self) -> Result<Option<u32>>;
}

pub(crate) trait RecvHalf: 'static {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Cut>;
    fn stop(self, code: u32) -> Result<()>;

    async fn read_all(&mut self) -> Result<Vec<u8>, Cut> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
        while let Some(read) = self.read(&mut buffer).await? {
            all.extend_from_slice(&buffer[..read]);
        }
        Ok(all)
    }
}
