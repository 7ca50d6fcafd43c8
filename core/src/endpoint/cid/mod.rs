//! Connection ids that name their owner: QUIC-LB
//! (draft-ietf-quic-load-balancers-21).
//!
//! A connection id is all that a device in front of several servers can read of a
//! packet after its client has changed its address. With these ids the server says
//! in each of them who it is, encrypted so that nobody else can tell:
//!
//! ```text
//! byte 0       1 ..................... n   n+1 ...
//! ┌────┬──────┬─────────────┬──────────┬──────────┐
//! │ cr │ len  │  server id  │  nonce   │ padding  │   6 to 20 bytes
//! └────┴──────┴─────────────┴──────────┴──────────┘
//!   │    │      └ together 5 to 19 bytes, one AES block or a four-pass Feistel
//!   │    └ 5 bits: the bytes that follow, for hardware
//!   └ 3 bits: which configuration; 0b111 for none
//! ```
//!
//! # One mechanism, three readers
//!
//! - **A load balancer** in front of many machines holds an [`LbConfig`] and asks
//!   [`LbConfig::server_id`] of each packet's [`destination`].
//! - **A server of several endpoints on one port** is the same in the small: the
//!   kernel balances by address, and whoever gets a packet asks [`Owners::owner_of`]
//!   and hands it on. `aqueduct-tokio`'s `ServerGroup` does that.
//! - **The endpoint itself** makes its ids by [`ConnectionIds`] and recognises them, so
//!   that packets with other ids are not even answered with a reset.
//!
//! # Behind a balancer
//!
//! Configuration id, lengths and key are what the balancer was given; the server
//! ids are those it sends to this machine. With `n` endpoints the machine takes
//! `n` server ids, one for each, and needs nothing else to find the owner once the
//! packet has arrived:
//!
//! ```
//! # fn main() -> Result<(), aqueduct_core::endpoint::ConfigError> {
//! use aqueduct_core::endpoint::EndpointConfig;
//! use aqueduct_core::endpoint::cid::{ConnectionIds, LbConfig, Owners, ServerId};
//!
//! // Configuration 0: 3 bytes of server id, 5 of nonce, and the shared key.
//! let config = LbConfig::new(0, 3, 5)?.key([0x5a; 16]);
//!
//! // One endpoint:
//! let ids = ConnectionIds::new(config.clone(), ServerId::new(&[0, 0, 1])?)?;
//! let endpoint = EndpointConfig::client().connection_ids(ids);
//!
//! // Two of them on one port:
//! let servers = vec![ServerId::new(&[0, 0, 1])?, ServerId::new(&[0, 0, 2])?];
//! let owners = Owners::new(config, servers)?;
//! let second = owners.configure(&EndpointConfig::client(), 1)?;
//! # let _ = (endpoint, second);
//! # Ok(())
//! # }
//! ```
//!
//! To go over to another configuration, give the balancer both, then start servers
//! with the new one and [`ConnectionIds::accept`] the old: an endpoint cannot
//! change its ids while it runs. All configurations of an endpoint give ids of one
//! length, the longest one's; shorter ones are padded.
//!
//! # Secrets
//!
//! Without a key the server id can be read and the ids of a connection can be
//! linked by whoever sees them. As QUIC gives a peer several ids at once, prefer
//! a key. The key must be kept as TLS keys are; it is not in any `Debug` output.

mod cipher;
mod generator;
mod owners;
#[cfg(test)]
mod tests;

use std::fmt;

use self::cipher::Cipher;
use super::error::ConfigError;

pub use self::generator::ConnectionIds;
pub(super) use self::generator::Luck;
pub use self::owners::{Owners, destination};

//= https://www.rfc-editor.org/rfc/rfc9000#section-17.2
// Version 1 has no longer connection ids.
const MAX_CID: usize = 20;
/// Server id and nonce together, at most.
const MAX_BLOCK: usize = MAX_CID - 1;
const MAX_SERVER_ID: usize = 15;
const MIN_NONCE: usize = 4;
/// The configuration id that says there is none.
const UNROUTABLE: u8 = 0b111;

/// A server's name in connection ids: 1 to 15 bytes.
#[derive(Copy, Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerId {
    bytes: [u8; MAX_SERVER_ID],
    len: u8,
}

impl ServerId {
    /// A server id of these bytes.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] when there are none or more than 15.
    pub fn new(id: &[u8]) -> Result<Self, ConfigError> {
        if id.is_empty() || id.len() > MAX_SERVER_ID {
            return Err(ConfigError::OutOfRange("server id"));
        }
        Ok(Self::take(id, id.len()))
    }

    /// The first `len` of some bytes.
    fn take(from: &[u8], len: usize) -> Self {
        let mut bytes = [0; MAX_SERVER_ID];
        for (to, from) in bytes.iter_mut().zip(from.iter().take(len)) {
            *to = *from;
        }
        let len = len.min(MAX_SERVER_ID) as u8;
        Self { bytes, len }
    }
}

impl AsRef<[u8]> for ServerId {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self.as_ref(), f)
    }
}

/// A connection id: at most 20 bytes.
#[derive(Copy, Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cid {
    bytes: [u8; MAX_CID],
    len: u8,
}

impl Cid {
    /// The first `len` of some bytes.
    fn take(bytes: [u8; MAX_CID], len: usize) -> Self {
        let len = len.min(MAX_CID) as u8;
        Self { bytes, len }
    }
}

impl AsRef<[u8]> for Cid {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self.as_ref(), f)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// One configuration: what servers and balancers agree on.
#[derive(Clone)]
pub struct LbConfig {
    id: u8,
    server_id_len: usize,
    nonce_len: usize,
    /// Length of the whole connection id.
    cid_len: usize,
    cipher: Cipher,
    says_length: bool,
}

impl fmt::Debug for LbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LbConfig")
            .field("id", &self.id)
            .field("server_id_len", &self.server_id_len)
            .field("nonce_len", &self.nonce_len)
            .field("cid_len", &self.cid_len)
            .field("cipher", &self.cipher)
            .finish_non_exhaustive()
    }
}

impl LbConfig {
    /// Configuration `id` (0 to 6) with server ids of `server_id_len` (1 to 15) and
    /// nonces of `nonce_len` bytes (4 to 18), at most 19 together; in plaintext.
    ///
    /// The nonce should be no shorter than the server id, which saves readers a
    /// pass, and long enough never to run out.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the argument.
    pub fn new(id: u8, server_id_len: usize, nonce_len: usize) -> Result<Self, ConfigError> {
        if id >= UNROUTABLE {
            return Err(ConfigError::OutOfRange("configuration id"));
        }
        if !(1..=MAX_SERVER_ID).contains(&server_id_len) {
            return Err(ConfigError::OutOfRange("server id length"));
        }
        if nonce_len < MIN_NONCE || server_id_len.saturating_add(nonce_len) > MAX_BLOCK {
            return Err(ConfigError::OutOfRange("nonce length"));
        }
        Ok(Self {
            id,
            server_id_len,
            nonce_len,
            cid_len: 1 + server_id_len + nonce_len,
            cipher: Cipher::Plaintext,
            says_length: true,
        })
    }

    /// Encrypts server id and nonce: in one AES-128 pass when they are 16 bytes
    /// together, in four otherwise.
    #[must_use]
    pub fn key(mut self, key: [u8; 16]) -> Self {
        self.cipher = Cipher::new(key, self.server_id_len, self.nonce_len);
        self
    }

    /// Pads connection ids to `len` bytes, at most 20, with bytes of no meaning.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] when the content is longer, or `len` is.
    pub fn cid_len(mut self, len: usize) -> Result<Self, ConfigError> {
        if !(1 + self.server_id_len + self.nonce_len..=MAX_CID).contains(&len) {
            return Err(ConfigError::OutOfRange("connection id length"));
        }
        self.cid_len = len;
        Ok(self)
    }

    /// Whether the first byte tells the length of the connection id, for offload
    /// hardware; otherwise its low five bits are random. Default yes.
    #[must_use]
    pub fn self_describing(mut self, yes: bool) -> Self {
        self.says_length = yes;
        self
    }

    /// The connection id of a server and a nonce, which must not be used twice
    /// with a key. `luck` fills what has no meaning. `None` when a length is not
    /// the configured one.
    #[must_use]
    pub fn encode(
        &self,
        server: &ServerId,
        nonce: &[u8],
        luck: &mut dyn FnMut() -> u8,
    ) -> Option<Cid> {
        if server.as_ref().len() != self.server_id_len || nonce.len() != self.nonce_len {
            return None;
        }
        let mut bytes = [0; MAX_CID];
        let (first, rest) = bytes.split_first_mut()?;
        let (block, padding) = rest.split_at_mut_checked(self.server_id_len + self.nonce_len)?;
        *first = self.first_byte(luck);
        let content = server.as_ref().iter().chain(nonce);
        block
            .iter_mut()
            .zip(content)
            .for_each(|(to, from)| *to = *from);
        self.cipher.encrypt(block);
        let padding_len = self.cid_len - 1 - self.server_id_len - self.nonce_len;
        padding
            .iter_mut()
            .take(padding_len)
            .for_each(|byte| *byte = luck());
        Some(Cid::take(bytes, self.cid_len))
    }

    /// The server that a connection id names, which need not exist: an id that no
    /// server made names a random one. `None` when the id is of another
    /// configuration, too short, or not as long as it says. Up to four AES blocks.
    #[must_use]
    pub fn server_id(&self, cid: &[u8]) -> Option<ServerId> {
        let (first, rest) = cid.split_first()?;
        if self.cid_len_of(*first)? != cid.len() && self.says_length {
            return None;
        }
        let mut block = [0; MAX_BLOCK];
        let block = block.get_mut(..self.server_id_len + self.nonce_len)?;
        block.copy_from_slice(rest.get(..block.len())?);
        self.cipher.decrypt(block);
        Some(ServerId::take(block, self.server_id_len))
    }

    /// The length of a connection id that begins with this byte, for
    /// [`destination`]: what it says, padding included, or what is configured.
    /// `None` when it is of another configuration.
    #[must_use]
    pub fn cid_len_of(&self, first: u8) -> Option<usize> {
        if first >> 5 != self.id {
            return None;
        }
        Some(match self.says_length {
            true => usize::from(first & 0x1f) + 1,
            false => self.cid_len,
        })
    }

    fn first_byte(&self, luck: &mut dyn FnMut() -> u8) -> u8 {
        first_byte(self.id, self.says_length.then_some(self.cid_len), luck)
    }
}

//= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
// "First CID octet": three bits of configuration, five of length or of no meaning.
fn first_byte(id: u8, cid_len: Option<usize>, luck: &mut dyn FnMut() -> u8) -> u8 {
    let low = match cid_len {
        Some(len) => len.saturating_sub(1) as u8,
        None => luck(),
    };
    id << 5 | low & 0x1f
}
