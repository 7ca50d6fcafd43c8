//! Making connection ids, one after the other.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};

use super::{Cid, LbConfig, MAX_BLOCK, MAX_CID, ServerId, UNROUTABLE, first_byte};
use crate::endpoint::error::ConfigError;
use crate::endpoint::seed::fold;
use crate::mix::Mix;

//= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
// "Configuration failover": ids of no configuration are at least 8 bytes long.
const MIN_UNROUTABLE: usize = 8;

/// How an endpoint makes its connection ids; see
/// [`EndpointConfig::connection_ids`](crate::endpoint::EndpointConfig::connection_ids).
#[derive(Clone, Debug)]
pub struct ConnectionIds {
    /// What ids are made by; `None` for ids that no balancer can route.
    active: Option<(LbConfig, ServerId)>,
    /// What else is recognised.
    accepted: Vec<(LbConfig, ServerId)>,
    /// All ids are this long: short headers do not tell.
    cid_len: usize,
    lifetime: Option<Duration>,
}

impl ConnectionIds {
    /// Ids that name `server`.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] when the server id is not as long as configured.
    pub fn new(config: LbConfig, server: ServerId) -> Result<Self, ConfigError> {
        check(&config, &server)?;
        Ok(Self {
            // A collision of unroutable ids, which is what exhausted nonces lead
            // to, must stay unlikely.
            cid_len: config.cid_len.max(MIN_UNROUTABLE),
            active: Some((config, server)),
            accepted: Vec::new(),
            lifetime: None,
        })
    }

    /// Ids of `len` bytes (8 to 20) that name nobody, for a server that waits for
    /// its configuration: balancers go by addresses.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn unroutable(len: usize) -> Result<Self, ConfigError> {
        if !(MIN_UNROUTABLE..=MAX_CID).contains(&len) {
            return Err(ConfigError::OutOfRange("connection id length"));
        }
        Ok(Self {
            active: None,
            accepted: Vec::new(),
            cid_len: len,
            lifetime: None,
        })
    }

    /// Recognises ids of another configuration too, such as the one before, but
    /// makes none. All ids become as long as the longest.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] when the server id is not as long as configured,
    /// or the configuration's id is another one's here.
    pub fn accept(mut self, config: LbConfig, server: ServerId) -> Result<Self, ConfigError> {
        check(&config, &server)?;
        if self.all().any(|(other, _)| other.id == config.id) {
            return Err(ConfigError::OutOfRange("configuration id"));
        }
        self.cid_len = self.cid_len.max(config.cid_len);
        self.accepted.push((config, server));
        Ok(self)
    }

    /// Replaces the ids of live connections after this time. Default never.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Length of every id, in bytes.
    #[must_use]
    pub fn cid_len(&self) -> usize {
        self.cid_len
    }

    fn all(&self) -> impl Iterator<Item = &(LbConfig, ServerId)> {
        self.active.iter().chain(&self.accepted)
    }

    /// The generator that begins with this luck.
    pub(in crate::endpoint) fn generator(&self, mut luck: Luck) -> Generator {
        let mut ids = self.clone();
        // In range: it is the maximum of lengths that are.
        for (config, _) in ids.active.iter_mut().chain(&mut ids.accepted) {
            config.cid_len = self.cid_len;
        }
        let start = std::array::from_fn(|_| luck.byte());
        Generator {
            ids,
            luck,
            start,
            used: 0,
        }
    }
}

fn check(config: &LbConfig, server: &ServerId) -> Result<(), ConfigError> {
    if server.as_ref().len() != config.server_id_len {
        return Err(ConfigError::OutOfRange("server id length"));
    }
    Ok(())
}

/// Where bytes of no meaning come from.
pub(in crate::endpoint) enum Luck {
    /// What follows from the endpoint's seed.
    Seeded(Mix),
    /// quinn's source of randomness, and what is left of its last answer.
    System(Vec<u8>),
}

impl Luck {
    pub(in crate::endpoint) fn new(seed: Option<&[u8; 32]>) -> Self {
        match seed {
            Some(seed) => Self::Seeded(Mix(fold(seed))),
            None => Self::System(Vec::new()),
        }
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self {
            Self::Seeded(mix) => mix.next() as u8,
            Self::System(left) => {
                if left.is_empty() {
                    let fresh = RandomConnectionIdGenerator::new(MAX_CID).generate_cid();
                    left.extend_from_slice(&fresh);
                }
                left.pop().unwrap_or_default()
            }
        }
    }
}

/// quinn's view of [`ConnectionIds`].
pub(in crate::endpoint) struct Generator {
    ids: ConnectionIds,
    luck: Luck,
    /// Where the nonces begin.
    start: [u8; MAX_BLOCK],
    /// Nonces used so far.
    used: u128,
}

impl Generator {
    pub(super) fn next(&mut self) -> Cid {
        self.routable().unwrap_or_else(|| self.unroutable())
    }

    #[cfg(test)]
    pub(super) fn set_used(&mut self, used: u128) {
        self.used = used;
    }

    fn routable(&mut self) -> Option<Cid> {
        let (config, server) = self.ids.active.as_ref()?;
        let mut nonce = [0; MAX_BLOCK];
        let nonce = nonce.get_mut(..config.nonce_len)?;
        if config.cipher.is_plaintext() {
            //= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
            // "Server actions": without a key, a nonce says nothing about the others.
            nonce.iter_mut().for_each(|byte| *byte = self.luck.byte());
        } else {
            //= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
            // "Server actions": with a key, no nonce is used twice. They are counted
            // from a random one; when they have all been used, there is no id more.
            let exhausted = u32::try_from(config.nonce_len * 8)
                .ok()
                .and_then(|bits| 1u128.checked_shl(bits))
                .is_some_and(|all| self.used >= all);
            if exhausted {
                return None;
            }
            counted(&self.start, self.used, nonce);
            self.used = self.used.checked_add(1)?;
        }
        config.encode(server, nonce, &mut || self.luck.byte())
    }

    //= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
    // "Configuration failover": configuration id 0b111, the length, and chance.
    fn unroutable(&mut self) -> Cid {
        let luck = &mut || self.luck.byte();
        let mut bytes: [u8; MAX_CID] = std::array::from_fn(|_| luck());
        bytes[0] = first_byte(UNROUTABLE, Some(self.ids.cid_len), luck);
        Cid::take(bytes, self.ids.cid_len)
    }

    fn is_ours(&self, cid: &[u8]) -> bool {
        let first = cid.first().copied().unwrap_or_default();
        if first >> 5 == UNROUTABLE {
            // Made while there was no configuration, or after the last nonce.
            return true;
        }
        let mut all = self.ids.all();
        all.any(|(config, server)| config.server_id(cid).as_ref() == Some(server))
    }
}

/// The `count`th nonce from `start` on: both as little-endian numbers, modulo the
/// nonce's size.
fn counted(start: &[u8; MAX_BLOCK], count: u128, nonce: &mut [u8]) {
    let mut carry = 0;
    let count = count.to_le_bytes();
    let count = count.into_iter().chain(std::iter::repeat(0));
    for ((to, start), count) in nonce.iter_mut().zip(start).zip(count) {
        let sum = u16::from(*start) + u16::from(count) + carry;
        *to = sum as u8;
        carry = sum >> 8;
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(self.next().as_ref())
    }

    /// Asked about packets of no known connection, before a stateless reset.
    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        if self.is_ours(cid) {
            Ok(())
        } else {
            Err(InvalidCid)
        }
    }

    fn cid_len(&self) -> usize {
        self.ids.cid_len
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        self.ids.lifetime
    }
}
