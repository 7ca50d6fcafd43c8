//! The table.

use std::collections::BTreeMap;
use std::time::Duration;

/// One proxy under one load.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) cpu: Duration,
    pub(crate) lasted: Duration,
}

impl Sample {
    /// Microseconds.
    fn cpu_per_packet(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.packets.max(1) as f64
    }

    fn per_second(&self) -> f64 {
        self.packets as f64 / self.lasted.as_secs_f64()
    }

    /// Per cent.
    fn lost(&self) -> f64 {
        let all = self.lost + self.packets;
        self.lost as f64 * 100.0 / all.max(1) as f64
    }

    /// Per cent of one core.
    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() * 100.0 / self.lasted.as_secs_f64()
    }
}

/// The direction, the number of tunnels, the proxy.
type Key<'a> = (&'a str, usize, &'a str);

#[derive(Debug, Default)]
pub(crate) struct Report<'a> {
    samples: BTreeMap<Key<'a>, Vec<Sample>>,
    begun: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn add(&mut self, key: Key<'a>, sample: Sample) {
        self.samples.entry(key).or_default().push(sample);
    }

    /// The median of what the samples say.
    fn median(&self, key: Key<'_>, what: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.get(&key)?.iter().map(what).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The rows of one load.
    pub(crate) fn print(&mut self, (direction, tunnels): (&str, usize), proxies: &[&str]) {
        if !std::mem::replace(&mut self.begun, true) {
            println!(
                "{:<6} {:>7}  {:<9} {:>10} {:>7} {:>7} {:>10} {:>8} {:>9}",
                "way",
                "tunnels",
                "proxy",
                "packets/s",
                "lost %",
                "busy %",
                "us/packet",
                "x floor",
                "x quic-go"
            );
        }
        for proxy in proxies {
            let of = |what: fn(&Sample) -> f64| {
                self.median((direction, tunnels, proxy), what)
                    .unwrap_or(f64::NAN)
            };
            let cpu = of(Sample::cpu_per_packet);
            let beside = |other: &str| {
                let other = self.median((direction, tunnels, other), Sample::cpu_per_packet);
                other.map_or_else(String::new, |other| format!("{:.2}", cpu / other))
            };
            println!(
                "{direction:<6} {tunnels:>7}  {proxy:<9} {:>10.0} {:>7.2} {:>7.0} {cpu:>10.2} {:>8} {:>9}",
                of(Sample::per_second),
                of(Sample::lost),
                of(Sample::busy),
                beside("floor"),
                beside("quic-go"),
            );
        }
    }
}
