//! Alert rules as a file for Prometheus.

use super::{AlertRule, Bound, Quantity};
use crate::{Error, Result};
use std::fmt::Write;
use std::time::Duration;

/// A rule file for Prometheus with the same alerts; `rate_window` is the stretch over which latencies are taken, usually
/// five minutes and at least four scrapes.
///
/// # Errors
/// [`Error::Config`] for a bad rule, and a window below a millisecond or above a week.
pub fn prometheus_rules(rules: &[AlertRule], rate_window: Duration) -> Result<String> {
    rules.iter().try_for_each(AlertRule::check)?;
    if !(1..=604_800_000).contains(&rate_window.as_millis()) {
        let window = format!("{rate_window:?}");
        return Err(Error::config("rate_window", window, "a millisecond to a week"));
    }
    let mut text = String::from("groups:\n  - name: nexus_model\n    rules:\n");
    if rules.is_empty() {
        text = text.replace("rules:", "rules: []");
    }
    for rule in rules {
        // Writing to a String cannot fail.
        let _ = write_rule(&mut text, rule, rate_window);
    }
    Ok(text)
}

fn write_rule(out: &mut String, rule: &AlertRule, rate_window: Duration) -> std::fmt::Result {
    let series = match rule.quantity {
        Quantity::LatencyP95 => format!(
            "histogram_quantile(0.95, sum by (model, version, le) \
             (rate(model_inference_duration_seconds_bucket[{}])))",
            duration(rate_window)
        ),
        Quantity::Accuracy => "model_accuracy_score".into(),
        Quantity::Throughput => "model_throughput_requests_per_second".into(),
        Quantity::Memory => "model_memory_usage_bytes".into(),
    };
    let sign = match rule.bound {
        Bound::Above => '>',
        Bound::Below => '<',
    };
    writeln!(out, "      - alert: {}", rule.name)?;
    writeln!(out, "        expr: {}", quoted(&format!("{series} {sign} {}", rule.threshold)))?;
    writeln!(out, "        for: {}", duration(rule.wait()))?;
    writeln!(out, "        labels:\n          severity: {}", quoted(&rule.severity))?;
    writeln!(out, "        annotations:")?;
    let summary = format!(
        "{} (model {{{{ $labels.model }}}}, version {{{{ $labels.version }}}}: \
         {{{{ $value | printf \"%.4g\" }}}})",
        rule.summary
    );
    writeln!(out, "          summary: {}", quoted(&summary))
}

/// A string of YAML, of which those of JSON are a part.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// In the largest unit that needs no fraction, as Prometheus reads durations.
fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let whole = units.iter().find(|(_, size)| millis > 0 && millis.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_the_largest_whole_unit() {
        let of = |millis| duration(Duration::from_millis(millis));
        let found = [0, 1, 1500, 2000, 90_000, 300_000, 7_200_000].map(of);
        assert_eq!(found, ["0ms", "1ms", "1500ms", "2s", "90s", "5m", "2h"]);
    }

    #[test]
    fn text_of_the_caller_is_quoted() {
        let rule = AlertRule {
            summary: "it's \"bad\":\n- 5 %".into(),
            severity: "a: b # c".into(),
            ..AlertRule::defaults().remove(1)
        };
        let text = prometheus_rules(&[rule], Duration::from_secs(60)).unwrap();
        assert!(text.contains(r#"severity: "a: b # c""#), "{text}");
        assert!(text.contains(r#"it's \"bad\":\n- 5 % (model {{ $labels.model }}"#), "{text}");
        assert!(text.contains(r#"expr: "model_accuracy_score < 0.8""#), "{text}");
        assert!(prometheus_rules(&[], Duration::ZERO).is_err());
        assert!(prometheus_rules(&[], Duration::from_secs(1)).unwrap().ends_with("rules: []\n"));
    }
}
