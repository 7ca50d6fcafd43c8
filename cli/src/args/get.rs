//! Options of `get`, under the names that users of curl know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue, Method};

use super::{Connect, Data, Target, Via, parse_data, parse_header, parse_some_time};
use crate::draft;
use crate::percent;
use crate::units::parse_duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct get https://example.com/
  aqueduct get https://example.com/a https://example.com/b -o a -o b
  aqueduct get -L -O -Z https://example.com/large.iso https://example.com/small.txt
  aqueduct get -C - -O https://example.com/large.iso      go on where it stopped
  aqueduct get -I https://example.com/                    the head alone
  aqueduct get https://localhost:4433/echo -d @photo.jpg -o copy.jpg --insecure
  aqueduct get -T photo.jpg -u me --password-file secret https://example.com/photos/
  aqueduct get https://localhost:4433/headers -H 'accept: text/plain' --cacert cert.pem
  aqueduct get -o page -w '%{http_code} %{time_starttransfer}\\n' https://example.com/
  aqueduct get https://example.com/ --proxy https://proxy.example";

/// Options of `get`.
#[derive(Args, Clone, Debug)]
pub struct Get {
    /// What to fetch; URLs of the same host and port share a connection
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<Target>,
    /// Write the body to this file instead of standard output, which is - (repeatable, one for each
    /// URL). The file gets its name when it is whole; what came of another is kept as FILE.part
    #[arg(short, long, value_name = "FILE")]
    pub output: Vec<PathBuf>,
    /// Write each body to a file here, named as the last part of its URL's path
    #[arg(short = 'O', long, conflicts_with = "output")]
    pub remote_name: bool,
    /// Go on with FILE.part, or with FILE where there is none, from where it ends: `-C -`. Nothing
    /// is appended when the server says that it has changed
    #[arg(short = 'C', long, value_name = "-", value_parser = ["-"], conflicts_with_all = ["data", "upload_file", "head"])]
    pub continue_at: Option<String>,
    /// Fetch several URLs at once, each origin's over one connection, with a progress bar each.
    /// Each body needs a file then. With -o or -O that is so without it
    #[arg(short = 'Z', long)]
    pub parallel: bool,
    /// Transfers under way at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel_max: u16,
    /// Request method; HEAD with -I, PUT with -T, POST when there is data, else GET
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<Method>,
    /// Request body as it is, or @FILE to stream a file (@- for standard input)
    #[arg(short, long, visible_alias = "data-binary", value_name = "DATA|@FILE", value_parser = parse_data)]
    pub data: Option<Data>,
    /// Upload this file (- for standard input) with PUT. A URL that ends with a slash gets the
    /// file's name
    #[arg(short = 'T', long, value_name = "FILE", conflicts_with = "data")]
    pub upload_file: Option<PathBuf>,
    /// Request field (repeatable)
    #[arg(short = 'H', long, value_name = "NAME:VALUE", value_parser = parse_header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// Show this name and password (Basic), but not to another origin that -L leads to. Others on
    /// this host can read command lines: without :PASSWORD it comes from --password-file or from
    /// the environment as AQUEDUCT_PASSWORD
    #[arg(short, long, value_name = "USER[:PASSWORD]", value_parser = Password::parse)]
    pub user: Option<Password>,
    /// The file whose first line is the password of -u
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Ask for the head alone, and print it on standard output or to the file of -o
    #[arg(short = 'I', long, conflicts_with_all = ["data", "upload_file", "remote_name"])]
    pub head: bool,
    /// Print the response heads and trailers on standard error, no more than 200 bytes of each value
    /// and with escapes; --json has all of it. -v shows the request's head as well
    #[arg(short, long)]
    pub include: bool,
    /// Print this on standard output after each transfer. %{http_code}, %{time_total} and the like
    /// are replaced, %% \n \r \t as with curl: http_code, http_version, method, url, url_effective,
    /// num_redirects, remote_ip, remote_port, content_type, size_download, size_upload,
    /// speed_download, speed_upload, early_data, time_namelookup, time_connect, time_appconnect,
    /// time_pretransfer, time_starttransfer, time_redirect, time_total, exitcode. The object of
    /// --json has the numbers without it
    #[arg(short, long, value_name = "FORMAT", value_parser = crate::get::Format::parse, allow_hyphen_values = true)]
    pub write_out: Option<crate::get::Format>,
    /// Send requests ahead of the handshake (0-RTT) on connections to servers that allow it and that
    /// this run was connected to before: those with a safe method and no body, which somebody who
    /// records them can send again. What a server does not take is sent again behind the handshake.
    /// Not through a proxy
    #[arg(long, conflicts_with = "proxy")]
    pub early_data: bool,
    /// Close the connections after each URL: the next one begins with the ticket that the server gave
    #[arg(long, conflicts_with = "parallel")]
    pub reconnect: bool,
    /// Follow redirects to other https URLs. 303, and 301 and 302 after POST, go on with GET;
    /// credentials stay with their origin
    #[arg(short = 'L', long)]
    pub location: bool,
    /// Redirects of one URL that are followed
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub max_redirs: u32,
    /// Try again so often, where that does no harm: when the request was not processed, or can be
    /// repeated (GET, HEAD, PUT, DELETE, OPTIONS, TRACE) and the failure or the status 408, 429,
    /// 500, 502, 503 or 504 may pass. Waits 1 s, 2 s, 4 s and so on up to 60 s, or as long as the
    /// server says, if that is no more
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retry: u32,
    /// Give up a URL after this time, everything included
    #[arg(short, long, value_name = "TIME", value_parser = parse_some_time)]
    pub max_time: Option<Duration>,
    /// Give up a transfer in which nothing comes or goes for this time; 0 for never. That it stalls
    /// is told after 5 s
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    pub stall_timeout: Duration,
    /// Through what.
    #[command(flatten)]
    pub via: Via,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Who asks. It is not shown by `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Password {
    /// The name.
    pub user: String,
    /// The password, if the command line has it.
    pub password: Option<String>,
}

impl Password {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "clap wants a parser that may fail"
    )]
    fn parse(text: &str) -> Result<Self, String> {
        //= https://www.rfc-editor.org/rfc/rfc7617#section-2
        // A name has no colon; a password may.
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            user: user.to_owned(),
            password,
        })
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Get {
    /// The method to use.
    pub fn method(&self) -> Method {
        match &self.method {
            Some(method) => method.clone(),
            None if self.head => Method::HEAD,
            None if self.upload_file.is_some() => Method::PUT,
            None if self.data.is_some() => Method::POST,
            None => Method::GET,
        }
    }

    /// The request's body, if there is one.
    pub fn body(&self) -> Option<Data> {
        let file = self.upload_file.clone().map(Data::File);
        file.or_else(|| self.data.clone())
    }

    /// What is asked for at this place: the URL there, with the name of what is uploaded into it.
    pub fn target_of(&self, at: usize) -> Option<Target> {
        let target = self.urls.get(at)?;
        let name = self.upload_file.as_deref().and_then(Path::file_name);
        let whole = || {
            let name = name.filter(|name| *name != "-")?.to_str()?;
            let path = target.uri().path();
            let named = format!("{path}{}", percent::encode_segment(name));
            path.ends_with('/').then(|| target.with_path(&named))?
        };
        Some(whole().unwrap_or_else(|| target.clone()))
    }

    /// The file for the body of the URL at this place, when it is one.
    pub fn output_of(&self, at: usize) -> Option<PathBuf> {
        if self.remote_name {
            return self.urls.get(at).and_then(remote_name).map(PathBuf::from);
        }
        let path = self.output.get(at).filter(|path| path.as_os_str() != "-");
        path.cloned()
    }

    /// Whether several transfers may be under way at once: bodies do not mix.
    pub fn is_parallel(&self) -> bool {
        !self.reconnect && (self.parallel || self.remote_name || !self.output.is_empty())
    }

    /// What clap cannot check: several outputs must be as many as the URLs, and differ.
    pub fn check(&self, json: bool) -> Result<(), String> {
        let (outputs, urls) = (self.output.len(), self.urls.len());
        if outputs != 0 && outputs != urls {
            return Err(format!(
                "{urls} URLs need {urls} outputs or none, not {outputs}"
            ));
        }
        if self.remote_name
            && let Some(nameless) = self.urls.iter().find(|url| remote_name(url).is_none())
        {
            return Err(format!(
                "the path of {nameless} does not end with a name for a file: use -o"
            ));
        }
        let files: Vec<_> = (0..urls).filter_map(|at| self.output_of(at)).collect();
        if self.continue_at.is_some() && files.len() != urls {
            return Err("-C - goes on with files: use -o or -O".to_owned());
        }
        if self.parallel && urls > 1 && outputs == 0 && !self.remote_name && !json {
            return Err("with -Z each body needs a file: use -o or -O".to_owned());
        }
        if self
            .output
            .iter()
            .filter(|path| path.as_os_str() == "-")
            .count()
            > 1
        {
            return Err("standard output takes one body with -o, or all without".to_owned());
        }
        let mut places: Vec<_> = files.iter().filter_map(|path| place(path)).collect();
        places.sort_unstable();
        if let Some([twice, ..]) = places.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(format!(
                "`{}` is the output of several URLs",
                twice.display()
            ));
        }
        let parts = places.iter().flat_map(|place| draft::names(place));
        for part in parts {
            if places.binary_search(&part).is_ok() {
                let part = part.display();
                return Err(format!(
                    "`{part}` is the output of one URL and the part of another's"
                ));
            }
        }
        if urls > 1 && self.body() == Some(Data::File("-".into())) {
            return Err("standard input can be sent to one URL only".to_owned());
        }
        Ok(())
    }
}

/// The last part of the path, as it stands there, if it can be a file's name.
fn remote_name(target: &Target) -> Option<OsString> {
    let (_, name) = target.uri().path().rsplit_once('/')?;
    let plain = !matches!(name, "" | "." | "..") && !name.contains(['\\', ':', '\0']);
    plain.then(|| name.into())
}

/// What names the same file in the same way, if it is one that is not to be written twice: devices
/// may be.
fn place(path: &Path) -> Option<PathBuf> {
    place_behind(path, LINKS)
}

/// Links to what is not there that are followed, one after another.
const LINKS: usize = 40;

fn place_behind(path: &Path, links: usize) -> Option<PathBuf> {
    if let Ok(there) = path.canonicalize() {
        return there.is_file().then_some(there);
    }
    let name = path.file_name()?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(folder) = folder.canonicalize() else {
        return Some(path.to_owned());
    };
    let named = folder.join(name);
    match named.read_link() {
        // A link to what is not there yet: that is made. One to itself leads nowhere.
        Ok(to) if links > 0 => place_behind(&folder.join(to), links - 1),
        _ => Some(named),
    }
}
