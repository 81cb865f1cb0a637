//! Which request is next and when it is due: everything of a load run that needs no clock of its own.

use super::arrivals::Schedule;
use super::load_options::{Load, LoadOptions};
use std::time::Duration;

/// Gives the workers their requests. Times are since the start of the run.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    options: &'a LoadOptions,
    /// Absent in a closed loop, where a request is due when it is asked for.
    schedule: Option<Schedule>,
    taken: u64,
    measured: u64,
    /// When the first measured request was due.
    since: Option<Duration>,
    ended: bool,
}

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticket {
    /// Counted from 0, the warm-up included.
    pub(super) index: u64,
    pub(super) due: Duration,
    /// Whether it comes after the warm-up.
    pub(super) measured: bool,
}

impl<'a> Feed<'a> {
    pub(super) fn new(options: &'a LoadOptions) -> Self {
        let schedule = match options.load {
            Load::Closed { .. } => None,
            Load::Open { rate, arrivals, seed, .. } => Some(Schedule::new(arrivals, rate, seed)),
        };
        Self { options, schedule, taken: 0, measured: 0, since: None, ended: false }
    }

    /// The next request, at time `now`; `None` from the end of the run on.
    pub(super) fn next(&mut self, now: Duration) -> Option<Ticket> {
        if self.ended {
            return None;
        }
        let due = self.schedule.as_mut().map_or(now, Schedule::next);
        let measured = self.taken >= self.options.warmup_requests
            && due.as_secs_f64() >= self.options.warmup_seconds;
        if measured {
            let since = *self.since.get_or_insert(due);
            let late = |seconds| due.saturating_sub(since).as_secs_f64() >= seconds;
            self.ended = self.options.requests.is_some_and(|most| self.measured >= most)
                || self.options.seconds.is_some_and(late);
            if self.ended {
                return None;
            }
            self.measured += 1;
        }
        self.taken += 1;
        Some(Ticket { index: self.taken - 1, due, measured })
    }

    /// No further request.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// What is done of what there is to do, at time `now`: requests where their number is given, else milliseconds.
    pub(super) fn progress(&self, now: Duration, answered: u64) -> (usize, usize) {
        let options = self.options;
        match (options.requests, options.seconds) {
            (Some(requests), _) => {
                let all = options.warmup_requests.saturating_add(requests).max(self.taken);
                (answered as usize, all as usize)
            }
            (None, seconds) => {
                let all = (options.warmup_seconds + seconds.unwrap_or(0.0)) * 1e3;
                (now.as_millis().min(all as u128) as usize, all as usize)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::performance::Arrivals;

    const ZERO: Duration = Duration::ZERO;

    fn open(rate: f64) -> LoadOptions {
        LoadOptions::new(Load::Open {
            rate,
            arrivals: Arrivals::Constant,
            seed: 0,
            max_in_flight: 1,
        })
    }

    fn all(feed: &mut Feed<'_>) -> Vec<Ticket> {
        std::iter::from_fn(|| feed.next(ZERO)).collect()
    }

    #[test]
    fn the_schedule_decides_in_an_open_loop_whatever_the_time_is() {
        let options = LoadOptions { seconds: Some(2.0), warmup_seconds: 1.0, ..open(10.0) };
        let tickets = all(&mut Feed::new(&options));
        // Due at 0.1, 0.2, ... 2.9; measured from 1.0 on.
        assert_eq!(tickets.len(), 29);
        assert_eq!(tickets.iter().filter(|ticket| !ticket.measured).count(), 9);
        assert_eq!(
            tickets[28],
            Ticket { index: 28, due: Duration::from_millis(2900), measured: true }
        );
    }

    #[test]
    fn a_closed_loop_goes_by_the_time_at_which_requests_are_asked_for() {
        let load = Load::Closed { workers: 1, expected_interval: None };
        let options = LoadOptions {
            requests: Some(4),
            seconds: Some(5.0),
            warmup_requests: 2,
            warmup_seconds: 1.0,
            ..LoadOptions::new(load)
        };
        let run = |step: f64| {
            let mut feed = Feed::new(&options);
            let mut now = 0.0;
            std::iter::from_fn(|| {
                now += step;
                feed.next(Duration::from_secs_f64(now))
            })
            .map(|ticket| ticket.measured)
            .collect::<Vec<bool>>()
        };
        // The warm-up lasts until both of its bounds have passed.
        assert_eq!(run(0.25), [false, false, false, true, true, true, true]);
        assert_eq!(run(1.5), [false, false, true, true, true, true]);
        // The first of the two ends ends the run.
        assert_eq!(run(2.0), [false, false, true, true, true]);
    }

    #[test]
    fn an_ended_feed_stays_ended_and_progress_reaches_its_end() {
        let options = LoadOptions { requests: Some(3), ..open(10.0) };
        let mut feed = Feed::new(&options);
        assert_eq!(feed.progress(ZERO, 0), (0, 3));
        assert_eq!(all(&mut feed).len(), 3);
        assert_eq!(feed.next(ZERO), None);
        assert_eq!(feed.progress(ZERO, 3), (3, 3));
        let options = LoadOptions { seconds: Some(2.0), warmup_seconds: 1.0, ..open(10.0) };
        let mut feed = Feed::new(&options);
        assert_eq!(feed.progress(Duration::from_secs(9), 7), (3000, 3000));
        feed.end();
        assert_eq!(feed.next(ZERO), None);
    }
}
