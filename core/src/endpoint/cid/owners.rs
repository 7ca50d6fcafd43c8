//! Several endpoints that take each other's packets: whose is one?

use super::{ConnectionIds, LbConfig, Luck, ServerId};
use crate::endpoint::config::EndpointConfig;
use crate::endpoint::error::ConfigError;

/// The destination connection id of a datagram's first packet, where those of
/// short headers are `short_len(first byte of the id)` long. `None` when it is too
/// short or, by `short_len`'s `None`, unknown.
///
/// Reads nothing but what all versions of QUIC have in common (RFC 8999 §5).
#[must_use]
pub fn destination(datagram: &[u8], short_len: impl FnOnce(u8) -> Option<usize>) -> Option<&[u8]> {
    let (first, rest) = datagram.split_first()?;
    //= https://www.rfc-editor.org/rfc/rfc8999#section-5.1
    // Long header: version, one byte of length, the id. The remaining bits of the
    // first byte are any version's own, and even QUIC's fixed bit may be greased.
    if first & 0x80 != 0 {
        let (len, rest) = rest.get(4..)?.split_first()?;
        return rest.get(..usize::from(*len));
    }
    //= https://www.rfc-editor.org/rfc/rfc8999#section-5.2
    // Short header: the id follows, as long as its owner knows it to be.
    rest.get(..short_len(*rest.first()?)?)
}

/// Which of several endpoints on one port owns a connection, by its ids.
#[derive(Clone, Debug)]
pub struct Owners {
    config: LbConfig,
    servers: Vec<ServerId>,
    cid_len: usize,
}

impl Owners {
    /// Endpoints behind a load balancer: the `n`th one's ids name `servers[n]`.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`]: no server id, one twice, or one that is not as
    /// long as configured.
    pub fn new(config: LbConfig, servers: Vec<ServerId>) -> Result<Self, ConfigError> {
        let mut sorted = servers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if servers.is_empty() || sorted.len() != servers.len() {
            return Err(ConfigError::OutOfRange("server ids"));
        }
        let mut cid_len = 0;
        for server in &servers {
            cid_len = ConnectionIds::new(config.clone(), *server)?.cid_len();
        }
        Ok(Self {
            config,
            servers,
            cid_len,
        })
    }

    /// `count` endpoints (1 to 256) among themselves, with a key that nobody else
    /// knows: that of the configuration's [`reset_key`](EndpointConfig::reset_key), so that
    /// the ids of a process before this one are known, or drawn from the configuration's
    /// seed or from the system.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn private(config: &EndpointConfig, count: usize) -> Result<Self, ConfigError> {
        if !(1..=256).contains(&count) {
            return Err(ConfigError::OutOfRange("number of endpoints"));
        }
        let key = match &config.reset_key {
            Some(key) => key.derive(b"owners"),
            None => {
                let mut luck = Luck::new(config.seed.as_ref());
                std::array::from_fn(|_| luck.byte())
            }
        };
        let servers = (0..=u8::MAX).take(count).map(|at| ServerId::new(&[at]));
        Self::new(
            LbConfig::new(0, 1, 7)?.key(key),
            servers.collect::<Result<_, _>>()?,
        )
    }

    /// The number of endpoints.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// The configuration of endpoint `at`: `base` with ids that name it. Take
    /// [clones](EndpointConfig) of one base: their address validation tokens are
    /// good for each other.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] when there is no such endpoint.
    pub fn configure(
        &self,
        base: &EndpointConfig,
        at: usize,
    ) -> Result<EndpointConfig, ConfigError> {
        let server = self.servers.get(at);
        let server = *server.ok_or(ConfigError::OutOfRange("number of endpoints"))?;
        let ids = ConnectionIds::new(self.config.clone(), server)?;
        Ok(base.clone().connection_ids(ids))
    }

    /// The endpoint that a datagram's first packet is for, by its destination
    /// connection id. `None` when the id was not made by any of them: that of a
    /// client's first packets, or of nobody's; whoever has it keeps it.
    /// O(endpoints), and up to four AES blocks.
    ///
    /// A client may by chance choose a first id that names an endpoint. All its
    /// packets name the same one, so that does no harm.
    #[must_use]
    pub fn owner_of(&self, datagram: &[u8]) -> Option<usize> {
        let cid = destination(datagram, |first| self.config.cid_len_of(first))?;
        if cid.len() != self.cid_len {
            return None;
        }
        let named = self.config.server_id(cid)?;
        self.servers.iter().position(|server| *server == named)
    }
}
