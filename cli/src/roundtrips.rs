//! Round trips of numbered datagrams: what is under way, what came back, and the statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::pattern::byte_at;
use crate::units::duration;

/// Bytes of a datagram's own: the mark and the number. The rest is filled with the pattern.
pub const MIN_SIZE: usize = 16;

const MARK: &[u8; 8] = b"aqueduct";

/// What became of a datagram that was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The first copy of this number, after this time.
    Answer {
        /// The datagram's number.
        number: u64,
        /// From sending to receiving.
        time: Duration,
    },
    /// A further copy.
    Duplicate(u64),
    /// Not one of ours, or changed on the way.
    Foreign,
}

/// Makes datagrams, recognises their replies, and keeps the times. Times are given as the duration
/// since any fixed start.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    size: usize,
    sent: u64,
    under_way: BTreeMap<u64, Duration>,
    times: Vec<Duration>,
    duplicates: u64,
    foreign: u64,
}

impl RoundTrips {
    /// Datagrams of `size` bytes, at least [`MIN_SIZE`].
    pub fn new(size: usize) -> Self {
        Self {
            size: size.max(MIN_SIZE),
            sent: 0,
            under_way: BTreeMap::new(),
            times: Vec::new(),
            duplicates: 0,
            foreign: 0,
        }
    }

    /// The next datagram, sent at `now`. O(size).
    pub fn send(&mut self, now: Duration) -> Vec<u8> {
        let number = self.sent;
        self.sent += 1;
        self.under_way.insert(number, now);
        self.datagram(number)
    }

    fn datagram(&self, number: u64) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.size);
        data.extend_from_slice(MARK);
        data.extend_from_slice(&number.to_be_bytes());
        data.extend((MIN_SIZE as u64..self.size as u64).map(byte_at));
        data
    }

    /// Takes a datagram received at `now`. O(size + log of those under way).
    pub fn receive(&mut self, data: &[u8], now: Duration) -> Reply {
        let number = data
            .strip_prefix(MARK)
            .and_then(<[u8]>::first_chunk)
            .map(|number| u64::from_be_bytes(*number))
            .filter(|number| *number < self.sent && data == self.datagram(*number));
        let Some(number) = number else {
            self.foreign += 1;
            return Reply::Foreign;
        };
        let Some(sent_at) = self.under_way.remove(&number) else {
            self.duplicates += 1;
            return Reply::Duplicate(number);
        };
        let time = now.saturating_sub(sent_at);
        self.times.push(time);
        Reply::Answer { number, time }
    }

    /// Whether every datagram sent has come back.
    pub fn is_complete(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The statistics so far. O(n log n) in the replies.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let count = sorted.len();
        // The nearest rank: the smallest time that `percent` of all do not exceed.
        let rank = |percent: usize| {
            let at = (count * percent).div_ceil(100).saturating_sub(1);
            sorted.get(at).copied().unwrap_or_default()
        };
        let seconds = |time: &Duration| time.as_secs_f64();
        let mean = self.times.iter().map(seconds).sum::<f64>() / count.max(1) as f64;
        let squares = self
            .times
            .iter()
            .map(|time| (seconds(time) - mean).powi(2))
            .sum::<f64>();
        Summary {
            sent: self.sent,
            received: count as u64,
            duplicates: self.duplicates,
            foreign: self.foreign,
            min: rank(0),
            median: rank(50),
            p95: rank(95),
            max: rank(100),
            mean: Duration::from_secs_f64(mean),
            deviation: Duration::from_secs_f64((squares / count.max(1) as f64).sqrt()),
        }
    }
}

/// Statistics of round trips; the times are zero when nothing came back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that came back, each counted once.
    pub received: u64,
    /// Further copies.
    pub duplicates: u64,
    /// Datagrams received that were never sent.
    pub foreign: u64,
    /// The shortest time.
    pub min: Duration,
    /// Half took at most this time.
    pub median: Duration,
    /// 95 % took at most this time.
    pub p95: Duration,
    /// The longest time.
    pub max: Duration,
    /// The average.
    pub mean: Duration,
    /// The standard deviation.
    pub deviation: Duration,
}

impl Summary {
    /// Lost datagrams, in percent of those sent.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 {
            return 0.0;
        }
        100.0 * (self.sent - self.received) as f64 / self.sent as f64
    }

    /// Two lines for people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} datagram{} sent, {} came back, {:.1} % lost",
            self.sent,
            if self.sent == 1 { "" } else { "s" },
            self.received,
            self.loss()
        );
        for (count, what) in [(self.duplicates, "duplicates"), (self.foreign, "foreign")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        if self.received > 0 {
            text.push_str(&format!(
                "\nround trip min {}, median {}, mean {}, 95 % {}, max {}, deviation {}",
                duration(self.min),
                duration(self.median),
                duration(self.mean),
                duration(self.p95),
                duration(self.max),
                duration(self.deviation),
            ));
        }
        text
    }

    /// Fields for programs; times in milliseconds, `null` when nothing came back.
    pub fn to_json(&self) -> Value {
        let some = self.received > 0;
        let ms = |time: Duration| some.then_some(time.as_secs_f64() * 1e3);
        json!({
            "sent": self.sent,
            "received": self.received,
            "duplicates": self.duplicates,
            "foreign": self.foreign,
            "loss_percent": self.loss(),
            "min_ms": ms(self.min),
            "median_ms": ms(self.median),
            "mean_ms": ms(self.mean),
            "p95_ms": ms(self.p95),
            "max_ms": ms(self.max),
            "deviation_ms": ms(self.deviation),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn replies_are_matched_in_any_order_and_copies_told_apart() {
        let mut trips = RoundTrips::new(40);
        let first = trips.send(ms(0));
        let second = trips.send(ms(10));
        assert_eq!(first.len(), 40);
        assert_ne!(first, second);
        assert_eq!(
            trips.receive(&second, ms(15)),
            Reply::Answer {
                number: 1,
                time: ms(5)
            }
        );
        assert!(!trips.is_complete());
        assert_eq!(
            trips.receive(&first, ms(20)),
            Reply::Answer {
                number: 0,
                time: ms(20)
            }
        );
        assert!(trips.is_complete());
        assert_eq!(trips.receive(&first, ms(21)), Reply::Duplicate(0));
    }

    #[test]
    fn changed_and_unsent_datagrams_are_foreign() {
        let mut trips = RoundTrips::new(20);
        let sent = trips.send(ms(0));
        let mut changed = sent.clone();
        changed[19] ^= 1;
        let unsent = trips.datagram(1);
        for data in [
            &changed[..],
            &unsent,
            &sent[..19],
            b"",
            b"aqueduct",
            b"hello",
        ] {
            assert_eq!(trips.receive(data, ms(1)), Reply::Foreign, "{data:?}");
        }
        assert!(!trips.is_complete());
        assert_eq!(trips.summary().foreign, 6);
    }

    #[test]
    fn the_summary_ranks_times_and_counts_losses() {
        let mut trips = RoundTrips::new(MIN_SIZE);
        let sent: Vec<_> = (0..25).map(|_| trips.send(ms(0))).collect();
        for (data, time) in sent.iter().take(20).zip(1..) {
            trips.receive(data, ms(time));
        }
        let summary = trips.summary();
        assert_eq!((summary.min, summary.median), (ms(1), ms(10)));
        assert_eq!((summary.p95, summary.max), (ms(19), ms(20)));
        assert_eq!(summary.mean, Duration::from_micros(10_500));
        assert!((summary.loss() - 20.0).abs() < 1e-9);
        assert!(
            summary
                .to_text()
                .starts_with("25 datagrams sent, 20 came back, 20.0 % lost\n")
        );
        assert_eq!(summary.to_json()["max_ms"], 20.0);
    }

    #[test]
    fn nothing_back_has_no_times() {
        let mut trips = RoundTrips::new(MIN_SIZE);
        assert_eq!(trips.summary().loss(), 0.0);
        trips.send(ms(0));
        let summary = trips.summary();
        assert_eq!(
            summary.to_text(),
            "1 datagram sent, 0 came back, 100.0 % lost"
        );
        assert_eq!(summary.to_json()["min_ms"], Value::Null);
    }
}
