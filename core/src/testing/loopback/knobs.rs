//! What can be turned on a loopback, and where its randomness comes from.

use crate::mix::Mix;

use crate::transport::EarlyData;
use crate::wire::settings::Settings;

/// How the network and each end of it behave. The limits are those that an end
/// grants to its peer.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Stream bytes are delivered in pieces of 1 to this many.
    pub max_chunk: usize,
    /// Pieces may join what was written separately. Copies.
    pub coalesce: bool,
    /// A write takes 1 to this many bytes at most, whatever the windows allow.
    pub write_budget: usize,
    /// Bytes an end holds that were written and not delivered.
    pub send_buffer: u64,
    /// Flow-control window of each stream, in bytes.
    pub stream_window: u64,
    /// Flow-control window of the connection, in bytes.
    pub connection_window: u64,
    /// Bidirectional streams the peer may have open at once.
    pub bi_streams: u64,
    /// Unidirectional streams the peer may have open at once.
    pub uni_streams: u64,
    /// Streams, control messages and datagrams overtake each other.
    pub reorder: bool,
    /// Percentage of steps in which nothing moves.
    pub delay: u8,
    /// Largest datagram this end accepts by its transport parameters; `None`
    /// for no datagrams at all.
    pub datagram_size: Option<usize>,
    /// Largest datagram the path carries.
    pub path_datagram_size: usize,
    /// Datagrams held for sending.
    pub datagram_queue: usize,
    /// Percentage of datagrams lost.
    pub datagram_loss: u8,
    /// RESET_STREAM_AT is available.
    pub reliable_reset: bool,
    /// What becomes of early data.
    pub early: EarlyData,
    /// What a client keeps of the server, by which it may send early data.
    pub remembered: Option<Settings>,
    /// The handshake is not completed at this end.
    pub held: bool,
    /// A reset that was read tells how long the stream was.
    pub final_sizes: bool,
}

impl Default for Knobs {
    /// A calm network: whole chunks, in order, nothing lost, generous limits.
    fn default() -> Self {
        Self {
            seed: 1,
            max_chunk: usize::MAX,
            coalesce: false,
            write_budget: usize::MAX,
            send_buffer: 1 << 20,
            stream_window: 1 << 20,
            connection_window: 1 << 24,
            bi_streams: 100,
            uni_streams: 100,
            reorder: false,
            delay: 0,
            datagram_size: Some(65_535),
            path_datagram_size: 1_200,
            datagram_queue: 1_024,
            datagram_loss: 0,
            reliable_reset: false,
            early: EarlyData::None,
            remembered: None,
            held: false,
            final_sizes: false,
        }
    }
}

impl Knobs {
    /// The same with early data, of which this becomes, to a server of which these settings
    /// are kept; the handshake is held at both ends.
    #[must_use]
    pub fn early(self, early: EarlyData, remembered: Settings) -> Self {
        Self {
            early,
            remembered: Some(remembered),
            held: true,
            ..self
        }
    }

    /// An unpleasant but lossless network: tiny pieces, tight windows, nothing
    /// in order except the bytes of one stream.
    #[must_use]
    pub fn adversarial(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut pick = |choices: &[u64]| {
            let at = rng.below(choices.len() as u64) as usize;
            choices.get(at).copied().unwrap_or(1)
        };
        Self {
            seed,
            max_chunk: pick(&[1, 2, 3, 7, 16, 100, 1_200, 1 << 20]) as usize,
            coalesce: pick(&[0, 1]) == 1,
            write_budget: pick(&[1, 5, 64, 1_000, 1 << 30]) as usize,
            send_buffer: pick(&[16, 200, 4_096, 1 << 20]),
            stream_window: pick(&[64, 100, 1_024, 1 << 20]),
            connection_window: pick(&[1_024, 8_192, 1 << 24]),
            reorder: pick(&[0, 1, 1]) == 1,
            delay: pick(&[0, 10, 50]) as u8,
            ..Self::default()
        }
    }
}

/// A small generator: good enough to shuffle, and always the same.
#[derive(Clone, Debug)]
pub struct Rng(Mix);

impl Rng {
    /// A generator that repeats for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mix(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `n`; 0 for `n` 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.bits() % n }
    }

    /// True in `percent` of a hundred calls.
    pub fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }
}
