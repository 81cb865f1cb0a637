//! What happened in the last stretch of time.

use crate::performance::LatencyHistogram;
use std::time::Duration;

/// Parts of a window. It slides by one of them at a time.
const SLOTS: u32 = 12;

/// Requests and outcomes of the last stretch of time, in slots that are given up whole as time passes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    slot: Duration,
    start: Duration,
    /// The slot of number k is at k modulo their count.
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    number: u64,
    latencies: LatencyHistogram,
    right: u64,
    outcomes: u64,
}

/// The sum of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) latencies: LatencyHistogram,
    pub(super) right: u64,
    pub(super) outcomes: u64,
    /// The time that it covers.
    pub(super) span: Duration,
}

/// The least time to divide a count of requests by: the first request after a start is no rate of a million.
const LEAST_SPAN: Duration = Duration::from_secs(1);

impl Window {
    pub(super) fn new(length: Duration, start: Duration) -> Self {
        let slot = (length / SLOTS).max(Duration::from_nanos(1));
        Self { slot, start, slots: vec![Slot::default(); SLOTS as usize] }
    }

    pub(super) fn request(&mut self, latency: Duration, now: Duration) {
        self.at(now).latencies.record(latency);
    }

    pub(super) fn outcome(&mut self, right: bool, now: Duration) {
        let slot = self.at(now);
        slot.outcomes += 1;
        slot.right += u64::from(right);
    }

    fn number(&self, now: Duration) -> u64 {
        let number = now.as_nanos() / self.slot.as_nanos().max(1);
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    fn at(&mut self, now: Duration) -> &mut Slot {
        let number = self.number(now);
        let slot = &mut self.slots[(number % u64::from(SLOTS)) as usize];
        // A reading of the clock from before another thread's may be of a slot that is already given up; it then counts
        // in the newer one.
        if slot.number < number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot
    }

    /// What the slots of the window hold: the present one, which is not over, and those before it.
    pub(super) fn sum(&self, now: Duration) -> Sum {
        let current = self.number(now);
        let first = (current + 1).saturating_sub(u64::from(SLOTS));
        let mut sum = Sum::default();
        for slot in self.slots.iter().filter(|slot| (first..=current).contains(&slot.number)) {
            sum.latencies.merge(&slot.latencies);
            sum.right += slot.right;
            sum.outcomes += slot.outcomes;
        }
        let begin = self.slot.saturating_mul(u32::try_from(first).unwrap_or(u32::MAX));
        sum.span = now.saturating_sub(begin.max(self.start)).max(LEAST_SPAN);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }

    #[test]
    fn a_window_forgets_what_is_older_than_its_length() {
        // Slots of 5 s.
        let mut window = Window::new(seconds(60), Duration::ZERO);
        for second in 0..200 {
            window.request(seconds(second), seconds(second));
            window.outcome(second >= 180, seconds(second));
        }
        let sum = window.sum(seconds(199));
        // From 140, the begin of the twelfth slot back, to 199.
        assert_eq!((sum.latencies.len(), sum.span), (60, seconds(59)));
        assert_eq!(sum.latencies.min(), Some(seconds(140)));
        assert_eq!((sum.right, sum.outcomes), (20, 60));
        let sum = window.sum(seconds(225));
        assert_eq!((sum.latencies.len(), sum.span), (30, seconds(55)));
        let sum = window.sum(seconds(10_000));
        assert_eq!((sum.latencies.len(), sum.outcomes, sum.span), (0, 0, seconds(55)));
    }

    #[test]
    fn a_young_window_covers_the_time_since_its_start() {
        let mut window = Window::new(seconds(60), seconds(1000));
        window.request(seconds(1), seconds(1000));
        assert_eq!(window.sum(seconds(1000)).span, seconds(1));
        assert_eq!(window.sum(seconds(1010)).span, seconds(10));
        assert_eq!(window.sum(seconds(1010)).latencies.len(), 1);
        // A thread that read the clock before another one.
        window.request(seconds(1), seconds(1060));
        window.request(seconds(1), seconds(1000));
        assert_eq!(window.sum(seconds(1060)).latencies.len(), 2);
    }
}
