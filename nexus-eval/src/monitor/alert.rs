//! The states of an alert.

use serde::Serialize;
use std::time::Duration;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Its condition does not hold.
    #[default]
    Inactive,
    /// Its condition holds, not for long enough yet.
    Pending,
    /// Its condition has held for long enough.
    Firing,
    /// It fired, and its condition holds no more. It stays so until the condition holds anew.
    Resolved,
}

/// An alert changed its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertEvent {
    /// The rule's name.
    pub rule: String,
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// The state before.
    pub from: AlertState,
    /// The state now.
    pub to: AlertState,
    /// The watched value; `None` when it is not known any more.
    pub value: Option<f64>,
    /// When, by the monitor's clock.
    pub at: Duration,
}

/// Where an alert of a model stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertStatus {
    /// The rule's name.
    pub rule: String,
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// The state.
    pub state: AlertState,
    /// Since when, by the monitor's clock; for firing, since it fired.
    pub since: Duration,
}

/// The state of one rule for one model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alert {
    pub(super) state: AlertState,
    pub(super) since: Duration,
}

impl Alert {
    /// Goes on to the state at time `now`, and gives the states before and after each change. As in Prometheus, a
    /// condition counts from the first evaluation that found it, and a wait of 0 fires at once.
    pub(super) fn step(
        &mut self,
        holds: bool,
        wait: Duration,
        now: Duration,
    ) -> Vec<(AlertState, AlertState)> {
        use AlertState::*;
        let mut changes = Vec::new();
        loop {
            let waited = now.saturating_sub(self.since) >= wait;
            let to = match (self.state, holds) {
                (Inactive | Resolved, true) => Pending,
                (Pending, true) if waited => Firing,
                (Pending, false) => Inactive,
                (Firing, false) => Resolved,
                _ => return changes,
            };
            changes.push((self.state, to));
            *self = Self { state: to, since: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AlertState::*;
    use super::*;

    fn run(wait: u64, conditions: &[bool]) -> Vec<Vec<(AlertState, AlertState)>> {
        let mut alert = Alert::default();
        let step = |(second, &holds): (u64, &bool)| {
            alert.step(holds, Duration::from_secs(wait), Duration::from_secs(second))
        };
        (0..).zip(conditions).map(step).collect()
    }

    #[test]
    fn an_alert_fires_when_its_condition_has_held_and_resolves() {
        let seen = run(2, &[false, true, true, true, true, false, false, true]);
        assert_eq!(
            seen,
            [
                vec![],
                vec![(Inactive, Pending)],
                vec![],
                vec![(Pending, Firing)],
                vec![],
                vec![(Firing, Resolved)],
                vec![],
                vec![(Resolved, Pending)],
            ]
        );
    }

    #[test]
    fn a_condition_that_stops_early_fires_nothing_and_a_wait_of_0_fires_at_once() {
        let seen = run(2, &[true, true, false, true]);
        assert_eq!(
            seen,
            [
                vec![(Inactive, Pending)],
                vec![],
                vec![(Pending, Inactive)],
                vec![(Inactive, Pending)]
            ]
        );
        let seen = run(0, &[true, false]);
        assert_eq!(seen, [vec![(Inactive, Pending), (Pending, Firing)], vec![(Firing, Resolved)]]);
    }
}
