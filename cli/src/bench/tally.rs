//! What was measured: counts, and times in a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::units::{self, duration};

/// The longest time that is told from longer ones: an hour, in microseconds.
const LONGEST: u64 = 3_600_000_000;
/// Digits of a time that are kept.
const DIGITS: u8 = 3;
/// Bars of the histogram that is shown.
const BARS: u64 = 10;
/// The length of the longest bar, in characters.
const WIDTH: u64 = 40;
/// The percentiles that are told.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 95.0, 99.0, 99.9];

/// Times, to the microsecond. Its size is fixed, whatever is recorded.
#[derive(Clone, Debug)]
pub(super) struct Times(Option<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        // The bounds are constants, which the tests use.
        Self(Histogram::new_with_bounds(1, LONGEST, DIGITS).ok())
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST);
        if let Some(all) = &mut self.0 {
            all.saturating_record(micros.clamp(1, LONGEST));
        }
    }

    fn add(&mut self, other: &Self) {
        if let (Some(all), Some(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds.
            let _ = all.add(other);
        }
    }

    fn some(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref().filter(|all| !all.is_empty())
    }

    fn to_text(&self, name: &str) -> String {
        let Some(all) = self.some() else {
            return format!("{name}: none");
        };
        let at = |micros: u64| duration(Duration::from_micros(micros));
        let mut text = format!("{name}: min {}", at(all.min()));
        for percentile in PERCENTILES {
            let value = at(all.value_at_percentile(percentile).min(all.max()));
            text.push_str(&format!(", {percentile} % {value}"));
        }
        let mean = Duration::from_secs_f64(all.mean() / 1e6);
        let deviation = Duration::from_secs_f64(all.stdev() / 1e6);
        text.push_str(&format!(
            ", max {}; mean {}, deviation {}",
            at(all.max()),
            duration(mean),
            duration(deviation)
        ));
        text
    }

    fn bars(&self) -> Vec<(u64, u64)> {
        let Some(all) = self.some() else {
            return Vec::new();
        };
        let step = (all.max() / BARS).max(1);
        let steps = all.iter_linear(step);
        steps
            .map(|it| (it.value_iterated_to(), it.count_since_last_iteration()))
            .collect()
    }

    fn histogram(&self) -> String {
        let bars = self.bars();
        let most = bars
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(1)
            .max(1);
        let lines = bars.iter().map(|(upto, count)| {
            let len = (count * WIDTH).div_ceil(most);
            let bar = "#".repeat(usize::try_from(len).unwrap_or_default());
            let upto = duration(Duration::from_micros(*upto));
            format!("{:>12} {count:>9} {bar}", format!("<= {upto}"))
                .trim_end()
                .to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Times in milliseconds; `null` when there are none.
    fn to_json(&self) -> Value {
        let Some(all) = self.some() else {
            return Value::Null;
        };
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |percentile| ms(all.value_at_percentile(percentile).min(all.max()));
        json!({
            "min_ms": ms(all.min()),
            "mean_ms": all.mean() / 1e3,
            "deviation_ms": all.stdev() / 1e3,
            "p50_ms": at(50.0),
            "p90_ms": at(90.0),
            "p95_ms": at(95.0),
            "p99_ms": at(99.0),
            "p999_ms": at(99.9),
            "max_ms": ms(all.max()),
        })
    }
}

/// What came of all that was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Answers and echoes, whatever they say.
    pub(super) done: u64,
    /// What was asked and brought nothing, or was not asked for want of a connection.
    pub(super) failed: u64,
    /// Answers by the first digit of their status, from 1 to 5.
    pub(super) classes: [u64; 5],
    pub(super) received: u64,
    pub(super) sent: u64,
    /// From asking to the end of the answer.
    pub(super) times: Times,
    /// From asking to its head.
    pub(super) first: Times,
    /// Handshakes.
    pub(super) connects: Times,
    /// The first failure, in words.
    pub(super) why: Option<String>,
}

impl Tally {
    pub(super) fn fail(&mut self, count: u64, why: &str) {
        self.failed += count;
        self.why.get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
        for (all, more) in self.classes.iter_mut().zip(other.classes) {
            *all += more;
        }
        self.received += other.received;
        self.sent += other.sent;
        self.times.add(&other.times);
        self.first.add(&other.first);
        self.connects.add(&other.connects);
        self.why = self.why.take().or(other.why);
    }

    /// What a server answered with an error status.
    pub(super) fn refused(&self) -> u64 {
        let [.., client, server] = self.classes;
        client + server
    }

    /// Lines for people. `what` is what was asked for, in the plural.
    pub(super) fn to_text(&self, what: &str, elapsed: Duration) -> String {
        let rate = self.done as f64 / elapsed.as_secs_f64().max(1e-9);
        let mut text = format!(
            "{} {what} in {}: {rate:.1} a second; {} failed\n",
            self.done,
            duration(elapsed),
            self.failed
        );
        let classes = (1..).zip(self.classes).filter(|(_, count)| *count > 0);
        let classes: Vec<_> = classes
            .map(|(digit, count)| format!("{count} {digit}xx"))
            .collect();
        if !classes.is_empty() {
            text.push_str(&format!("answers: {}\n", classes.join(", ")));
        }
        text.push_str(&format!(
            "received {} ({}), sent {} ({})\n",
            units::bytes(self.received),
            units::rate(self.received, elapsed),
            units::bytes(self.sent),
            units::rate(self.sent, elapsed),
        ));
        text.push_str(&self.connects.to_text("handshakes"));
        if self.first.some().is_some() {
            text.push_str(&format!("\n{}", self.first.to_text("first byte")));
        }
        text.push_str(&format!("\n{}", self.times.to_text("times")));
        if self.done > 0 {
            text.push_str(&format!("\n{}", self.times.histogram()));
        }
        text
    }

    pub(super) fn to_json(&self, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64();
        let a_second = |count: u64| count as f64 / seconds.max(1e-9);
        let [one, two, three, four, five] = self.classes;
        let bars = self.times.bars().into_iter();
        let bars =
            bars.map(|(upto, count)| json!({ "upto_ms": upto as f64 / 1e3, "count": count }));
        json!({
            "seconds": seconds,
            "done": self.done,
            "failed": self.failed,
            "first_failure": self.why,
            "per_second": a_second(self.done),
            "statuses": { "1xx": one, "2xx": two, "3xx": three, "4xx": four, "5xx": five },
            "bytes": self.received,
            "bytes_per_second": a_second(self.received),
            "bytes_sent": self.sent,
            "handshake": self.connects.to_json(),
            "first_byte": self.first.to_json(),
            "latency": self.times.to_json(),
            "histogram": bars.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_bars_are_those_of_what_was_recorded() {
        let mut tally = Tally::default();
        for ms in 1..=100 {
            tally.times.record(Duration::from_millis(ms));
            tally.done += 1;
        }
        let mut other = Tally::default();
        other.times.record(Duration::from_secs(100_000));
        other.done += 1;
        other.fail(2, "why");
        tally.add(other);
        let json = tally.to_json(Duration::from_secs(10));
        assert_eq!((&json["done"], &json["failed"]), (&101.into(), &2.into()));
        assert!((json["per_second"].as_f64().unwrap() - 10.1).abs() < 1e-6);
        let p50 = json["latency"]["p50_ms"].as_f64().unwrap();
        assert!((p50 - 51.0).abs() < 0.1, "{p50}");
        let counts = json["histogram"].as_array().unwrap().iter();
        let counts: Vec<_> = counts.map(|bar| bar["count"].as_u64().unwrap()).collect();
        assert_eq!(counts.iter().sum::<u64>(), 101);
        assert!(counts.len() <= 11, "{counts:?}");
        let text = tally.to_text("requests", Duration::from_secs(10));
        assert!(
            text.starts_with("101 requests in 10.00 s: 10.1 a second; 2 failed\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_has_no_times() {
        let json = Tally::default().to_json(Duration::ZERO);
        assert_eq!((&json["latency"], &json["done"]), (&Value::Null, &0.into()));
        assert!(
            Tally::default()
                .to_text("requests", Duration::ZERO)
                .contains("times: none")
        );
    }
}
