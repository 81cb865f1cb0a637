//! Learning rates against transformers' `get_scheduler` and against its published tables.

use nexus_train::{Schedule, ScheduleKind};

#[test]
fn rates_equal_transformers() {
    let path = format!("{}/tests/golden/schedule/expect.json", env!("CARGO_MANIFEST_DIR"));
    let expect: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = expect.to_string();
    let cases = [
        ("constant", ScheduleKind::Constant, 0),
        ("constant_with_warmup", ScheduleKind::Constant, 4),
        ("linear", ScheduleKind::Linear, 2),
        ("cosine", ScheduleKind::Cosine, 2),
    ];
    for (name, kind, warmup_steps) in cases {
        let schedule = Schedule { kind, peak: 10.0, warmup_steps, max_steps: 10 };
        let rates =
            expect["schedules"][name]["rates"].as_array().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(rates.len(), 10);
        for (step, rate) in rates.iter().enumerate() {
            let found = schedule.rate(step);
            assert!((found - rate.as_f64().unwrap()).abs() < 1e-9, "{name} {step}: {found} {rate}");
        }
    }
}

#[test]
fn rates_equal_the_published_tables() {
    // transformers, tests/optimization/test_optimization.py: base 10, 10 steps; tolerance 1e-2 as there.
    let tables: [(ScheduleKind, usize, [f64; 10]); 4] = [
        (ScheduleKind::Constant, 0, [10.0; 10]),
        (ScheduleKind::Constant, 4, [0.0, 2.5, 5.0, 7.5, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0]),
        (ScheduleKind::Linear, 2, [0.0, 5.0, 10.0, 8.75, 7.5, 6.25, 5.0, 3.75, 2.5, 1.25]),
        (ScheduleKind::Cosine, 2, [0.0, 5.0, 10.0, 9.61, 8.53, 6.91, 5.0, 3.08, 1.46, 0.38]),
    ];
    for (kind, warmup_steps, table) in tables {
        let schedule = Schedule { kind, peak: 10.0, warmup_steps, max_steps: 10 };
        for (step, rate) in table.into_iter().enumerate() {
            assert!((schedule.rate(step) - rate).abs() < 1e-2, "{kind:?} {step}");
        }
    }
}
