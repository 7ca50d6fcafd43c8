//! One direction of a simulated network: it delays, loses, duplicates, reorders
//! and refuses to carry large datagrams, all as its seed says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::endpoint::{Arrival, Transmit};
use crate::mix::Mix;

/// One direction of a path. The knobs may be turned at any time.
#[derive(Debug)]
pub struct Link {
    /// Time every datagram takes. Default 10 ms.
    pub delay: Duration,
    /// Further time, chosen anew for each datagram: what is larger than the gaps
    /// between datagrams reorders them. Default zero.
    pub jitter: Duration,
    /// Datagrams lost, per thousand. Default 0.
    pub loss: u64,
    /// Datagrams that arrive twice, per thousand. Default 0.
    pub duplicates: u64,
    /// Larger datagrams vanish. Default 1,500 bytes of payload.
    pub mtu: usize,
    /// Bytes of payload that pass in a second; `None`, as at first, for any number.
    pub rate: Option<u32>,
    /// Bytes that may wait where there is a [`Self::rate`]; what comes beyond them is
    /// lost. Default 32 KiB.
    pub queue: usize,
    /// Nothing passes.
    pub down: bool,
    /// What has happened so far.
    pub counts: Counts,
    luck: Mix,
    sequence: u64,
    /// When the last byte that waits has left.
    busy: Option<Instant>,
    flying: BTreeMap<(Instant, u64), (Arrival, Vec<u8>)>,
}

/// Datagrams by what became of them.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Sent, duplicates not counted.
    pub sent: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Lost, too large ones included.
    pub lost: u64,
    /// Arrived.
    pub arrived: u64,
}

impl Link {
    /// A link on which nothing goes wrong.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0,
            duplicates: 0,
            mtu: 1500,
            rate: None,
            queue: 32 * 1024,
            down: false,
            counts: Counts::default(),
            luck: Mix(seed),
            sequence: 0,
            busy: None,
            flying: BTreeMap::new(),
        }
    }

    /// Sends what a transmit holds; `from` is how the receiver sees the sender.
    pub fn send(&mut self, now: Instant, from: Arrival, transmit: &Transmit, contents: &[u8]) {
        let from = Arrival {
            ecn: transmit.ecn,
            ..from
        };
        for datagram in contents.chunks(transmit.segment_size.unwrap_or(contents.len()).max(1)) {
            self.counts.sent += 1;
            self.counts.bytes += datagram.len() as u64;
            // Each knob draws its own number, so that turning one does not change
            // what the others do.
            let (lost, twice) = (self.happens(self.loss), self.happens(self.duplicates));
            if lost || self.down || datagram.len() > self.mtu {
                self.counts.lost += 1;
                continue;
            }
            let Some(left) = self.pass(now, datagram.len()) else {
                self.counts.lost += 1;
                continue;
            };
            for _ in 0..=u8::from(twice) {
                let jitter = self.luck.next() % (self.jitter.as_micros() as u64 + 1);
                let at = left + self.delay + Duration::from_micros(jitter);
                self.sequence += 1;
                self.flying
                    .insert((at, self.sequence), (from, datagram.to_vec()));
            }
        }
    }

    /// When so many bytes have left; `None` when too many wait already.
    fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.rate else {
            return Some(now);
        };
        let takes = |bytes: usize| Duration::from_secs(bytes as u64) / rate.max(1);
        let begins = self.busy.map_or(now, |busy| busy.max(now));
        let ends = begins + takes(len);
        if ends - now > takes(self.queue) {
            return None;
        }
        self.busy = Some(ends);
        Some(ends)
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|(&(at, _), _)| at)
    }

    /// A datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<(Arrival, BytesMut)> {
        let entry = self
            .flying
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let (from, datagram) = entry.remove();
        self.counts.arrived += 1;
        Some((from, BytesMut::from(&datagram[..])))
    }

    fn happens(&mut self, per_thousand: u64) -> bool {
        self.luck.next() % 1000 < per_thousand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn pass(link: &mut Link, count: usize) -> Vec<u8> {
        let remote = ([127, 0, 0, 1], 9).into();
        let start = epoch();
        for number in 0..count {
            let transmit = Transmit {
                remote,
                local_ip: None,
                ecn: None,
                size: 1,
                segment_size: None,
                owner: None,
            };
            let now = start + Duration::from_millis(number as u64);
            link.send(now, Arrival::new(remote), &transmit, &[number as u8]);
        }
        let end = start + Duration::from_secs(60);
        std::iter::from_fn(|| link.receive(end))
            .map(|(_, datagram)| datagram[0])
            .collect()
    }

    #[test]
    fn a_perfect_link_keeps_order_and_count() {
        assert_eq!(pass(&mut Link::new(1), 100), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn misfortune_follows_the_seed() {
        let rough = |seed| {
            let mut link = Link::new(seed);
            (link.loss, link.duplicates, link.jitter) = (200, 200, Duration::from_millis(20));
            let arrived = pass(&mut link, 200);
            assert_eq!(link.counts.arrived, arrived.len() as u64);
            assert!((20..=60).contains(&link.counts.lost), "{:?}", link.counts);
            assert!(!arrived.is_sorted(), "reordered");
            arrived
        };
        assert_eq!(rough(7), rough(7));
        assert_ne!(rough(7), rough(8));
    }

    #[test]
    fn a_thin_line_takes_its_time_and_loses_what_it_cannot_hold() {
        // A datagram of a byte each millisecond, and half as many pass.
        let mut link = Link::new(1);
        (link.rate, link.queue) = (Some(500), 10);
        let arrived = pass(&mut link, 100);
        assert_eq!(arrived.len() as u64 + link.counts.lost, 100);
        assert!((58..=62).contains(&arrived.len()), "{}", arrived.len());
        assert!(arrived.is_sorted(), "in order");
    }

    #[test]
    fn segments_are_cut_and_large_datagrams_vanish() {
        let mut link = Link::new(1);
        link.mtu = 4;
        let remote = ([127, 0, 0, 1], 9).into();
        let mut transmit = Transmit {
            remote,
            local_ip: None,
            ecn: None,
            size: 10,
            segment_size: Some(4),
            owner: None,
        };
        let now = epoch();
        link.send(now, Arrival::new(remote), &transmit, &[0; 10]);
        transmit.segment_size = None;
        link.send(now, Arrival::new(remote), &transmit, &[0; 5]);
        let lengths: Vec<_> = std::iter::from_fn(|| link.receive(now + link.delay))
            .map(|(_, datagram)| datagram.len())
            .collect();
        assert_eq!((lengths, link.counts.lost), (vec![4, 4, 2], 1));
    }
}
