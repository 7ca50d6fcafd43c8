//! What an application can choose, and every limit with its default.

use std::time::Duration;

use crate::id::Dir;
use crate::webtransport;
use crate::wire::frame::FrameType;
use crate::wire::grease;
use crate::wire::stream_type::{UniType, WT_BIDI_SIGNAL};

/// Everything that a peer can make grow, and how far.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest encoded field section accepted, in bytes, by the length that HEADERS
    /// declares. A larger one is dealt with as what is larger than
    /// [`Self::field_section`], before anything of it is read. The lesser of the two is
    /// what is announced. Default 64 KiB.
    pub field_section_encoded: u64,
    /// Largest decoded field section accepted, by the measure of RFC 9114 §4.2.2;
    /// announced as SETTINGS_MAX_FIELD_SECTION_SIZE. A larger head of a request is
    /// answered 431; a larger response, and larger trailers, reset their stream.
    /// Default 64 KiB.
    pub field_section: u64,
    /// Most fields in a section, pseudo-header fields and each part of a cookie
    /// included. What has more is dealt with as what is larger than
    /// [`Self::field_section`]. Default 128.
    pub fields: usize,
    /// Largest frame payload accepted on the control stream, in bytes. Default 4 KiB.
    pub control_frame: u64,
    /// Most settings accepted in one SETTINGS frame. Default 64.
    pub settings: usize,
    /// QPACK dynamic table the peer may use towards us, in bytes. Default 4,096.
    pub qpack_table: u64,
    /// QPACK dynamic table we use towards the peer at most, in bytes. Default 4,096.
    pub qpack_encoder_table: u64,
    /// Streams that may wait for the peer's QPACK insertions. Default 16.
    pub qpack_blocked_streams: u64,
    /// Bytes of one message accepted from the application before the transport
    /// took them: the tail of one DATA frame, so also its largest payload.
    /// While there are more than 8 requests it is less: 512 KiB by their number, and not
    /// less than 4 KiB. Default 64 KiB.
    pub frame_payload: usize,
    /// Sessions per connection. Default 16.
    pub sessions: usize,
    /// Requests of one connection, sessions included, that are under way: from a
    /// request's first byte until it is over and the application has let go of it, see
    /// [`Access::hold`](crate::connection::Access::hold). Further ones are refused
    /// unread with H3_REQUEST_REJECTED (server). Default 100, as many as QUIC allows at
    /// once.
    pub open_requests: usize,
    /// Size of the heads of those requests, all together, by the measure of RFC 9114
    /// §4.2.2, and the declared length of sections that have not all come or wait for
    /// QPACK insertions; a head that does not fit is refused with H3_REQUEST_REJECTED,
    /// trailers with H3_EXCESSIVE_LOAD (server). Default 1 MiB.
    pub head_bytes: usize,
    /// Streams held for sessions that are not open yet, all together. Default 64.
    pub early_streams: usize,
    /// Datagrams held for sessions that are not open yet, and for CONNECT requests whose
    /// application has not asked for datagrams, all together. Default 100.
    pub early_datagrams: usize,
    /// Bytes of those datagrams. Default 64 KiB.
    pub early_datagram_bytes: usize,
    /// How long these streams and datagrams are held. For a session that is being decided
    /// on, by the application or by SETTINGS that are on their way, as long again each
    /// time, up to [`Self::connect_timeout`] in all. Default 5 s.
    pub early_timeout: Duration,
    /// How long the beginning of a peer's stream may take to come: its type, a request's
    /// head; and the SETTINGS that a session request waits for. The stream is reset with
    /// H3_REQUEST_REJECTED then. A connection closes when in this time the peer has not
    /// allowed three unidirectional streams or, a server's, not sent SETTINGS. Up to six times as long while the messages of the
    /// connection come at [`Self::min_rate`], all together. Default 10 s.
    pub head_timeout: Duration,
    /// How long a field section may wait for QPACK insertions before its stream is reset
    /// with H3_REQUEST_CANCELLED. Default 10 s.
    pub section_timeout: Duration,
    /// Time over which the pace of messages is measured, in whole seconds (server): that
    /// of a request's content while the application waits for it and until its answer has
    /// begun, see [`Access::set_paced`](crate::connection::Access::set_paced), and that of
    /// a response from when not all of it is taken. Those of one connection keep it
    /// together. Tunnels and sessions keep none. Default 60 s.
    pub progress_window: Duration,
    /// Slowest pace, in bytes per second; a stream below it is reset with
    /// H3_REQUEST_CANCELLED. 0 for none: then content need never come. Default 240.
    pub min_rate: u32,
    /// How long CONNECT may take to be answered, a session's too, before it is given up
    /// with H3_REQUEST_CANCELLED (client); and how long what comes early for a session
    /// waits for its answer (server). Default 30 s.
    pub connect_timeout: Duration,
    /// How long a server may neither take more of a request nor answer it, before it is
    /// given up with H3_REQUEST_CANCELLED. Time in which the application has not sent the
    /// rest does not count; an interim response begins it anew. How fast the content of a
    /// response comes is not watched: it may be a stream of rare events (client). Default
    /// 5 min.
    pub response_timeout: Duration,
    /// How long a connection lives on without a request or session, whatever its peer
    /// sends besides, before it is wound down (server). Default 5 min.
    pub idle_timeout: Duration,
    /// How long the CONNECT stream of a session that has ended may take to end too,
    /// before it is reset: the close waits for no credit of the peer's. Also how long a
    /// session goes on whose CONNECT stream the peer has stopped, or a stream of which it
    /// has reset or stopped because the session is gone, in case that what ends it comes
    /// later. Default 3 s.
    pub close_timeout: Duration,
    /// Datagrams held per session or request until the application takes them; the
    /// oldest is dropped beyond it. At least 1. Default 1,000, which are small ones:
    /// [`Self::datagram_bytes`] holds about 200 of 1,200 bytes.
    pub datagrams: usize,
    /// Bytes of those datagrams; one is held whatever its size. Default 256 KiB.
    pub datagram_bytes: usize,
    /// Bytes of the datagrams of all sessions and requests of a connection, and 64 more
    /// for each; beyond it the oldest of whoever gets one are dropped. Default 512 KiB.
    pub all_datagram_bytes: usize,
    /// Largest DATAGRAM capsule of a session held in memory, in bytes; larger ones are
    /// skipped. Default 64 KiB.
    pub datagram_capsule: u64,
    /// PRIORITY_UPDATE frames held for requests that have not arrived, the latest of
    /// each; the oldest is dropped beyond it. Default 64.
    pub early_priorities: usize,
    /// Useless things tolerated: unknown frames, streams and capsules, empty DATA
    /// frames, streams that are reset or stopped, twice for requests, interim responses,
    /// which count once more for each 4 KiB; and small things, of which 64 count as one:
    /// instructions of QPACK, datagrams and capsules of less than 16 bytes. Each 1,000
    /// bytes of content or datagrams win one back, each request that goes through two,
    /// and each second the hundredth part of the limit. Beyond it the connection closes
    /// with H3_EXCESSIVE_LOAD. Default 1,000.
    pub nuisance: u32,
    /// Frames, capsules, datagrams, instructions of QPACK and the fields of its sections
    /// that are dealt with in one turn of a connection, that is for one `now`, and
    /// streams that begin in it, each of which counts as 8; the rest waits for the next
    /// turn, which is due at once, datagrams are dropped. At least 1. Default 2,048.
    pub work: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            field_section_encoded: 64 * 1024,
            field_section: 64 * 1024,
            fields: 128,
            control_frame: 4 * 1024,
            settings: 64,
            qpack_table: 4096,
            qpack_encoder_table: 4096,
            qpack_blocked_streams: 16,
            frame_payload: 64 * 1024,
            sessions: 16,
            open_requests: 100,
            head_bytes: 1 << 20,
            early_streams: 64,
            early_datagrams: 100,
            early_datagram_bytes: 64 * 1024,
            early_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            section_timeout: Duration::from_secs(10),
            progress_window: Duration::from_secs(60),
            min_rate: 240,
            connect_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(300),
            close_timeout: Duration::from_secs(3),
            datagrams: 1000,
            datagram_bytes: 256 * 1024,
            all_datagram_bytes: 512 * 1024,
            datagram_capsule: 64 * 1024,
            early_priorities: 64,
            nuisance: 1000,
            work: 2048,
        }
    }
}

/// How one end of HTTP/3 connections behaves.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// What the peer can make grow, and how far.
    pub limits: Limits,
    /// Take and send HTTP datagrams (RFC 9297). Default yes.
    pub datagrams: bool,
    /// Announce extended CONNECT (RFC 9220) as a server. Default yes.
    pub connect_protocol: bool,
    /// Types of unidirectional streams that the application claims for protocols of its
    /// own, see [`Event::Claimed`](crate::event::Event::Claimed) and
    /// [`Access::open_claimed`](crate::connection::Access::open_claimed). Left out are
    /// the types of HTTP/3 and WebTransport, and reserved ones. Default none.
    pub claimed_uni: Vec<u64>,
    /// The same for bidirectional streams, by their first integer, in either direction.
    /// Left out are the types of HTTP/3's frames, WebTransport's signal, and reserved
    /// ones. Default none.
    pub claimed_bidi: Vec<u64>,
    /// WebTransport, and how.
    pub webtransport: webtransport::Config,
    /// Keep the field lines of received heads as they stood, beside the parts: for
    /// proxies that forward heads line by line, see
    /// [`RequestHead::fields`](crate::head::RequestHead::fields). Default no.
    pub field_lines: bool,
    /// Send reserved settings, frames and stream types, so that peers stay
    /// tolerant (RFC 9114 §7.2.8). Default yes.
    pub grease: bool,
    /// Open QPACK's two streams when a connection begins, as most do. If not, each is opened
    /// when it first has something to say (RFC 9204 §4.2), which one peer needs that expects
    /// no unidirectional streams before those of a session. The dynamic tables work all the
    /// same: the encoder's stream is opened as soon as the peer's SETTINGS offer a table
    /// that is used, the decoder's with its first acknowledgement; without tables
    /// ([`Limits::qpack_table`] and [`Limits::qpack_encoder_table`] are 0) there are no such
    /// streams. Until the decoder's is open, which the peer's limit of streams may delay,
    /// the peer's encoder learns of nothing that it may drop. Default yes.
    pub qpack_streams_at_once: bool,
    /// Further settings to send, for extensions above this library. Left out are
    /// identifiers that the library sends itself or HTTP/3 forbids, and identifiers and
    /// values above 2^62 - 1.
    pub extra_settings: Vec<(u64, u64)>,
}

impl Config {
    /// Whether the application claims streams that begin with this integer.
    pub(crate) fn claims(&self, dir: Dir, ty: u64) -> bool {
        let (claimed, free) = match dir {
            Dir::Uni => {
                let free = matches!(UniType::new(ty), UniType::Unknown(_));
                (&self.claimed_uni, free)
            }
            Dir::Bi => {
                let free = ty != WT_BIDI_SIGNAL && FrameType(ty).name().is_none();
                (&self.claimed_bidi, free && !grease::is_reserved(ty))
            }
        };
        free && claimed.contains(&ty)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            datagrams: true,
            connect_protocol: true,
            claimed_uni: Vec::new(),
            claimed_bidi: Vec::new(),
            webtransport: webtransport::Config::default(),
            field_lines: false,
            grease: true,
            qpack_streams_at_once: true,
            extra_settings: Vec::new(),
        }
    }
}

impl Config {
    /// The defaults of a client: [`webtransport::Config::client`], the rest as for a
    /// server.
    #[must_use]
    pub fn client() -> Self {
        Self {
            webtransport: webtransport::Config::client(),
            ..Self::default()
        }
    }
}
