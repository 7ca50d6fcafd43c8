//! Options of `tunnel`, and of `get` through a proxy.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use aqueduct_tokio::protocol::masque::TemplateError;
use aqueduct_tokio::protocol::uri::UriError;
use aqueduct_tokio::proxy::{self, Template, TunnelKind};
use clap::Args;

use super::{Connect, Target};
use crate::identity::Sha256Digest;
use crate::tls::Trust;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct tunnel --proxy https://proxy.example --udp 192.0.2.1:53 --local 127.0.0.1:5300
  aqueduct tunnel --proxy https://proxy.example --tcp db.example:5432 --local 127.0.0.1:5432
  aqueduct tunnel --proxy https://proxy.example --socks 127.0.0.1:1080
  curl --proxy socks5h://127.0.0.1:1080 https://example.com/
  aqueduct tunnel --proxy 'https://a.example/m{?target_host,target_port}' --udp 192.0.2.1:443

Whoever uses the proxy shows a token with --bearer-file or AQUEDUCT_PROXY_BEARER, or a name and a
password with --basic-file or AQUEDUCT_PROXY_BASIC.";

/// Options of `tunnel`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["udp", "tcp", "socks"]))]
pub struct Tunnel {
    /// The proxy: an https URL without a path, or a template with {target_host} and {target_port} of
    /// the tunnels for UDP, or for TCP with --tcp
    #[arg(long, value_name = "URL|TEMPLATE")]
    pub proxy: ProxyUrl,
    /// Take packets at --local and send them there; answers come back. Each local sender has a
    /// tunnel of its own
    #[arg(long, value_name = "HOST:PORT")]
    pub udp: Option<proxy::Target>,
    /// Take connections at --local and carry them there
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp: Option<proxy::Target>,
    /// Serve SOCKS5 on this address, to wherever its clients want: CONNECT and UDP ASSOCIATE
    #[arg(long, value_name = "ADDR")]
    pub socks: Option<SocketAddr>,
    /// Where to take packets or connections; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:0",
        conflicts_with = "socks"
    )]
    pub local: SocketAddr,
    /// Ask for TCP by CONNECT as HTTP always had it, not by connect-tcp first
    #[arg(long = "connect")]
    pub classic: bool,
    /// Serve SOCKS on an address that others can reach: whoever does goes through the proxy in your
    /// name
    #[arg(long)]
    pub open: bool,
    /// Show the proxy the bearer token in this file
    #[arg(long, value_name = "FILE", conflicts_with = "basic_file")]
    pub bearer_file: Option<PathBuf>,
    /// Show the proxy the NAME:PASSWORD in this file
    #[arg(long, value_name = "FILE")]
    pub basic_file: Option<PathBuf>,
    /// How to connect to the proxy.
    #[command(flatten)]
    pub connect: Connect,
}

impl Tunnel {
    /// What clap cannot check: who may reach a server of SOCKS.
    pub fn check(&self) -> Result<(), String> {
        match self.socks {
            Some(socks) if !socks.ip().is_loopback() && !self.open => Err(format!(
                "others than this host can reach {socks}, and would go through the proxy in your \
                 name: use a loopback address, or add --open"
            )),
            _ => Ok(()),
        }
    }
}

/// The proxy of `get`, if there is one.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Proxy")]
pub struct Via {
    /// Go through this proxy, by CONNECT-UDP: an https URL without a path, or a template with
    /// {target_host} and {target_port}. It resolves names, and sees packets alone; --connect-to is
    /// then where it sends them
    #[arg(long, value_name = "URL|TEMPLATE")]
    pub proxy: Option<ProxyUrl>,
    /// Accept any certificate of the proxy's. Without one of these three, it has to be trusted as
    /// the URL's host is
    #[arg(long, requires = "proxy", conflicts_with_all = ["proxy_cacert", "proxy_cert_hash"])]
    pub proxy_insecure: bool,
    /// Trust the root certificates of this PEM file for the proxy
    #[arg(
        long,
        value_name = "FILE",
        requires = "proxy",
        conflicts_with = "proxy_cert_hash"
    )]
    pub proxy_cacert: Option<PathBuf>,
    /// Trust exactly the proxy's certificate with this SHA-256, in hex or base64 (repeatable)
    #[arg(long, value_name = "SHA256", requires = "proxy", value_parser = Sha256Digest::parse)]
    pub proxy_cert_hash: Vec<Sha256Digest>,
    /// Show the proxy the bearer token in this file, or in the environment as AQUEDUCT_PROXY_BEARER
    #[arg(
        long,
        value_name = "FILE",
        requires = "proxy",
        conflicts_with = "proxy_basic_file"
    )]
    pub proxy_bearer_file: Option<PathBuf>,
    /// Show the proxy the NAME:PASSWORD in this file, or in the environment as AQUEDUCT_PROXY_BASIC
    #[arg(long, value_name = "FILE", requires = "proxy")]
    pub proxy_basic_file: Option<PathBuf>,
}

impl Via {
    /// Whom to trust as the proxy, if not whom the target is trusted by.
    pub fn trust(&self) -> Option<Trust> {
        if self.proxy_insecure {
            Some(Trust::Insecure)
        } else if !self.proxy_cert_hash.is_empty() {
            Some(Trust::Pins(self.proxy_cert_hash.clone()))
        } else {
            self.proxy_cacert.clone().map(Trust::CaFile)
        }
    }
}

/// A proxy, and where it is asked for tunnels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProxyUrl {
    /// At the well-known paths of a host.
    Origin(Target),
    /// By a template.
    Template(Template),
}

impl ProxyUrl {
    /// Where to connect to.
    #[must_use]
    pub fn origin(&self) -> Target {
        match self {
            Self::Origin(target) => target.clone(),
            Self::Template(template) => template.origin().clone().into(),
        }
    }

    /// Where tunnels of a kind are asked for: by the template if it is for that kind, else at the
    /// well-known path.
    #[must_use]
    pub fn template(&self, kind: TunnelKind, of: TunnelKind) -> Template {
        match self {
            Self::Template(template) if kind == of => template.clone(),
            Self::Template(template) => Template::default_for(kind, template.origin()),
            Self::Origin(target) => Template::default_for(kind, target.https()),
        }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(target) => target.fmt(f),
            Self::Template(template) => template.fmt(f),
        }
    }
}

impl FromStr for ProxyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['{', '}']) {
            let template = text.parse();
            return template
                .map(Self::Template)
                .map_err(|error: TemplateError| error.to_string());
        }
        let target: Target = text.parse().map_err(|error: UriError| error.to_string())?;
        match target.uri().path_and_query().map(|path| path.as_str()) {
            None | Some("/") => Ok(Self::Origin(target)),
            Some(path) => Err(format!(
                "`{path}` says nothing of the target: a proxy is a URL without a path, or a \
                 template with {{target_host}} and {{target_port}}"
            )),
        }
    }
}
