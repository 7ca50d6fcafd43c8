//! Human units: bytes, rates and durations, read from arguments and written to terminals.

use std::time::Duration;

use aqueduct_tokio::protocol::transport::EarlyData;
use indicatif::HumanBytes;

const SUFFIXES: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

/// `1536` becomes `1.50 KiB`; below one KiB the exact count is kept.
pub fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// Bytes over a time as decimal bits per second, the unit of network links: `94.12 Mbit/s`.
/// A dash when no time has passed.
pub fn rate(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    let bits = bytes as f64 * 8.0 / seconds;
    for (name, size) in [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)] {
        if bits >= size {
            return format!("{:.2} {name}", bits / size);
        }
    }
    format!("{bits:.0} bit/s")
}

/// Three or four significant digits: `412 µs`, `1.52 ms`, `2.31 s`, `3 min 05 s`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 60.0 {
        let whole = time.as_secs();
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{:.0} µs", seconds * 1e6)
    }
}

/// What became of early data, in a word.
pub fn early_data(early: EarlyData) -> &'static str {
    match early {
        EarlyData::Accepted => "accepted",
        EarlyData::Rejected => "rejected",
        _ => "none",
    }
}

/// Reads `4096`, `64KiB`, `10 MB`, `1.5g`. A bare letter is the binary unit.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    let (number, size) = SUFFIXES
        .iter()
        .find_map(|(name, size)| text.strip_suffix(name).map(|rest| (rest.trim_end(), *size)))
        .unwrap_or((text.as_str(), 1));
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(size)
            .ok_or_else(|| format!("`{text}` is too large"));
    }
    let value = decimal(number).ok_or_else(|| format!("`{text}` is not a size like 64KiB"))?;
    let product = value * size as f64;
    // Above 2^63 the conversion below would saturate without a word.
    if product >= 9.2e18 {
        return Err(format!("`{text}` is too large"));
    }
    Ok(product as u64)
}

/// Reads `5s`, `250ms`, `2m`, `1.5s`, `1m30s`; a bare number is seconds. At most one day.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim().to_ascii_lowercase();
    let unit = if text.ends_with(|last: char| last.is_ascii_digit()) {
        "s"
    } else {
        ""
    };
    let time = humantime::parse_duration(&format!("{text}{unit}"))
        .map_err(|error| format!("`{text}` is not a time like 5s or 250ms: {error}"))?;
    if time > Duration::from_secs(86_400) {
        return Err(format!("`{text}` is longer than a day"));
    }
    Ok(time)
}

/// Digits with at most one point: neither signs nor exponents nor `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_quantities_with_the_unit_that_fits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(10 << 20), "10.00 MiB");
        assert_eq!(rate(125_000_000, Duration::from_secs(1)), "1.00 Gbit/s");
        assert_eq!(rate(1_000, Duration::from_secs(2)), "4.00 kbit/s");
        assert_eq!(rate(10, Duration::ZERO), "-");
        assert_eq!(duration(Duration::from_micros(412)), "412 µs");
        assert_eq!(duration(Duration::from_micros(1_520)), "1.52 ms");
        assert_eq!(duration(Duration::from_millis(2_310)), "2.31 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64k", 65_536),
            ("10 MB", 10_000_000),
            ("1.5g", 1_610_612_736),
            ("12b", 12),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "k",
            "-1",
            "1e9",
            "inf",
            "nan",
            "64 potatoes",
            "20000000t",
            "99999999.5t",
        ] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_times() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("1.5S"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "s", "-1", "-1s", "inf", "1e3", "25h", "1 week"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
