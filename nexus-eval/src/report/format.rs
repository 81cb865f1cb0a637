//! Numbers as people read them.

use crate::stats::Interval;

/// A value with four decimals, or in scientific form where that would hide it.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    match size == 0.0 || (1e-4..1e5).contains(&size) {
        true if size >= 1000.0 => format!("{value:.1}"),
        true => format!("{value:.4}"),
        false => format!("{value:.3e}"),
    }
}

/// A difference with its sign.
pub(super) fn signed(value: f64) -> String {
    let text = number(value);
    if value > 0.0 { format!("+{text}") } else { text.replace('-', "−") }
}

/// `low to high`.
pub(super) fn interval(interval: &Interval) -> String {
    format!("{} to {}", number(interval.low), number(interval.high))
}

/// `low to high` of a difference.
pub(super) fn signed_interval(interval: &Interval) -> String {
    format!("{} to {}", signed(interval.low), signed(interval.high))
}

/// A p-value.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".into() } else { format!("{p:.4}") }
}

/// A duration in seconds with a fitting unit.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

/// A size in bytes with a fitting unit of 1024.
pub(super) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// `P95`, or `P99.9`.
pub(super) fn percentile(quantile: f64) -> String {
    format!("P{}", (quantile * 1e7).round() / 1e5)
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        assert_eq!(number(0.81234), "0.8123");
        assert_eq!(number(12345.67), "12345.7");
        assert_eq!(number(0.00001234), "1.234e-5");
        assert_eq!(number(0.0), "0.0000");
        assert_eq!(signed(0.5), "+0.5000");
        assert_eq!(signed(-0.5), "−0.5000");
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(seconds(2.5), "2.50 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(percentile(0.999), "P99.9");
        assert_eq!(p_value(0.00001), "< 0.0001");
    }
}
