//! What one worker of a load run saw.

use super::feed::Ticket;
use super::load::Response;
use super::{LatencyHistogram, Load, LoadOptions, Objective};
use crate::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// Different messages that are told apart; the rest is counted together.
const MOST_MESSAGES: usize = 100;
const OTHER: &str = "other messages";
/// Characters of a message that are kept.
const MESSAGE: usize = 200;

/// Counts of the measured requests.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) warmup: u64,
    pub(super) latency: LatencyHistogram,
    pub(super) first_token: LatencyHistogram,
    pub(super) inter_token: LatencyHistogram,
    pub(super) per_token: LatencyHistogram,
    pub(super) lag: LatencyHistogram,
    /// Requests for which no worker was free when they were due.
    pub(super) waited: u64,
    pub(super) succeeded: u64,
    pub(super) within: u64,
    pub(super) tokens_in: Tokens,
    pub(super) tokens_out: Tokens,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) first_due: Option<Duration>,
    pub(super) last_end: Duration,
}

/// A number of tokens, and of answers that did not say theirs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    sum: u64,
    unknown: u64,
}

impl Tokens {
    fn add(&mut self, count: Option<u64>) {
        match count {
            // A server may claim any number.
            Some(count) => self.sum = self.sum.saturating_add(count),
            None => self.unknown += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        self.add(Some(other.sum));
        self.unknown += other.unknown;
    }

    /// The sum, if every answer said its number.
    pub(super) fn known(self) -> Option<u64> {
        (self.unknown == 0).then_some(self.sum)
    }
}

/// When a request was taken, sent and answered, since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) taken: Duration,
    pub(super) sent: Duration,
    pub(super) end: Duration,
}

impl Recorder {
    /// Counts an answer.
    ///
    /// # Errors
    /// As [`LatencyHistogram::record_corrected`].
    pub(super) fn record(
        &mut self,
        options: &LoadOptions,
        ticket: Ticket,
        times: Times,
        answer: Result<Response, String>,
    ) -> Result<()> {
        if !ticket.measured {
            self.warmup += 1;
            return Ok(());
        }
        self.first_due = Some(self.first_due.map_or(ticket.due, |due| due.min(ticket.due)));
        self.last_end = self.last_end.max(times.end);
        if let Load::Open { .. } = options.load {
            self.lag.record(times.sent.saturating_sub(ticket.due));
            self.waited += u64::from(times.taken > ticket.due);
        }
        match answer.and_then(checked) {
            Err(message) => self.count_error(message),
            Ok(response) => self.count(options, ticket, times, &response)?,
        }
        Ok(())
    }

    fn count(
        &mut self,
        options: &LoadOptions,
        ticket: Ticket,
        times: Times,
        response: &Response,
    ) -> Result<()> {
        self.succeeded += 1;
        let (lag, service) =
            (times.sent.saturating_sub(ticket.due), times.end.saturating_sub(times.sent));
        let latency = match options.load {
            Load::Open { .. } => lag + service,
            Load::Closed { .. } => service,
        };
        match options.load {
            Load::Closed { expected_interval: Some(interval), .. } => {
                self.latency.record_corrected(latency, Duration::from_secs_f64(interval))?;
            }
            _ => self.latency.record(latency),
        }
        let first = response.first_token.or(response.token_times.first().copied());
        let first_token = first.map(|first| first.saturating_add(latency.saturating_sub(service)));
        if let Some(first_token) = first_token {
            self.first_token.record(first_token);
        }
        for pair in response.token_times.windows(2) {
            self.inter_token.record(pair[1].saturating_sub(pair[0]));
        }
        if let (Some(first), Some(count @ 2..)) = (first, response.tokens_out) {
            let rest = service.saturating_sub(first).as_secs_f64() / (count - 1) as f64;
            self.per_token.record(Duration::from_secs_f64(rest));
        }
        self.tokens_in.add(response.tokens_in);
        self.tokens_out.add(response.tokens_out);
        let kept =
            options.objective.is_some_and(|objective| keeps(&objective, latency, first_token));
        self.within += u64::from(kept);
        Ok(())
    }

    fn count_error(&mut self, message: String) {
        let message: String = message.chars().take(MESSAGE).collect();
        let known = self.errors.len() < MOST_MESSAGES || self.errors.contains_key(&message);
        let message = if known { message } else { OTHER.into() };
        *self.errors.entry(message).or_default() += 1;
    }

    /// Adds what another worker saw.
    pub(super) fn merge(&mut self, other: Self) {
        self.warmup += other.warmup;
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.inter_token.merge(&other.inter_token);
        self.per_token.merge(&other.per_token);
        self.lag.merge(&other.lag);
        self.waited += other.waited;
        self.succeeded += other.succeeded;
        self.within += other.within;
        self.tokens_in.merge(other.tokens_in);
        self.tokens_out.merge(other.tokens_out);
        for (message, count) in other.errors {
            *self.errors.entry(message).or_default() += count;
        }
        self.first_due = match (self.first_due, other.first_due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last_end = self.last_end.max(other.last_end);
    }
}

fn keeps(objective: &Objective, latency: Duration, first_token: Option<Duration>) -> bool {
    latency.as_secs_f64() <= objective.latency
        && objective
            .first_token
            .is_none_or(|most| first_token.is_some_and(|first| first.as_secs_f64() <= most))
}

/// Refuses an answer whose times contradict each other.
fn checked(response: Response) -> Result<Response, String> {
    let order = response.token_times.windows(2).all(|pair| pair[0] <= pair[1]);
    match order {
        true => Ok(response),
        false => Err("the times of the answer's tokens decrease".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::performance::Arrivals;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn options(load: Load, objective: Option<Objective>) -> LoadOptions {
        LoadOptions { requests: Some(1), objective, ..LoadOptions::new(load) }
    }

    fn open() -> Load {
        Load::Open { rate: 1.0, arrivals: Arrivals::Constant, seed: 0, max_in_flight: 1 }
    }

    const TICKET: Ticket = Ticket { index: 0, due: Duration::from_millis(100), measured: true };
    const TIMES: Times = Times {
        taken: Duration::from_millis(120),
        sent: Duration::from_millis(130),
        end: Duration::from_millis(230),
    };

    fn tokens() -> Response {
        Response {
            tokens_in: Some(7),
            tokens_out: Some(5),
            first_token: None,
            token_times: [20, 30, 60, 70, 90].map(millis).to_vec(),
        }
    }

    fn seen(
        load: Load,
        objective: Option<Objective>,
        answer: Result<Response, String>,
    ) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.record(&options(load, objective), TICKET, TIMES, answer).unwrap();
        recorder
    }

    #[test]
    fn an_open_loop_counts_from_the_time_at_which_a_request_was_due() {
        let recorder = seen(open(), None, Ok(tokens()));
        assert_eq!(recorder.latency.max(), Some(millis(130)));
        assert_eq!(recorder.first_token.max(), Some(millis(50)));
        assert_eq!((recorder.lag.max(), recorder.waited), (Some(millis(30)), 1));
        // (100 - 20) / 4 and the four gaps.
        assert_eq!(recorder.per_token.max(), Some(millis(20)));
        assert_eq!(recorder.inter_token.len(), 4);
        assert_eq!(recorder.inter_token.max(), Some(millis(30)));
        assert_eq!((recorder.tokens_in.known(), recorder.tokens_out.known()), (Some(7), Some(5)));
    }

    #[test]
    fn a_closed_loop_counts_from_the_sending_and_may_be_corrected() {
        let closed = |expected_interval| Load::Closed { workers: 1, expected_interval };
        let recorder = seen(closed(None), None, Ok(tokens()));
        assert_eq!(recorder.latency.max(), Some(millis(100)));
        assert_eq!(recorder.first_token.max(), Some(millis(20)));
        assert!(recorder.lag.is_empty());
        let recorder = seen(closed(Some(0.02)), None, Ok(tokens()));
        // 100, 80, 60, 40, 20 ms.
        assert_eq!((recorder.latency.len(), recorder.succeeded), (5, 1));
    }

    #[test]
    fn the_objective_bounds_the_whole_and_the_first_token() {
        let within = |latency, first_token, answer| {
            seen(open(), Some(Objective { latency, first_token }), answer).within
        };
        assert_eq!(within(0.13, None, Ok(tokens())), 1);
        assert_eq!(within(0.129, None, Ok(tokens())), 0);
        assert_eq!(within(1.0, Some(0.05), Ok(tokens())), 1);
        assert_eq!(within(1.0, Some(0.049), Ok(tokens())), 0);
        assert_eq!(within(1.0, Some(9.0), Ok(Response::default())), 0);
        assert_eq!(within(1.0, None, Err("refused".into())), 0);
    }

    #[test]
    fn errors_are_counted_by_message_and_the_number_of_messages_is_bounded() {
        let options = options(open(), None);
        let mut recorder = Recorder::default();
        for i in 0..300 {
            let answer = Err(format!("error {}", i % 150));
            recorder.record(&options, TICKET, TIMES, answer).unwrap();
        }
        assert_eq!(recorder.errors.len(), MOST_MESSAGES + 1);
        assert_eq!((recorder.errors["error 1"], recorder.errors[OTHER]), (2, 100));
        assert_eq!(recorder.succeeded + recorder.latency.len(), 0);
        let backwards = Response { token_times: vec![millis(2), millis(1)], ..tokens() };
        assert_eq!(seen(open(), None, Ok(backwards)).errors.len(), 1);
        let most = Response {
            tokens_out: Some(u64::MAX),
            first_token: Some(Duration::MAX),
            ..Response::default()
        };
        let mut twice = seen(open(), None, Ok(most.clone()));
        twice.merge(seen(open(), None, Ok(most)));
        assert_eq!(twice.tokens_out.known(), Some(u64::MAX));
        let unknown = seen(open(), None, Ok(Response { tokens_in: None, ..tokens() }));
        assert_eq!((unknown.tokens_in.known(), unknown.tokens_out.known()), (None, Some(5)));
    }

    #[test]
    fn the_warm_up_is_not_measured_and_workers_add_up() {
        let options = options(open(), None);
        let mut recorder = seen(open(), None, Ok(tokens()));
        let warm = Ticket { measured: false, ..TICKET };
        recorder.record(&options, warm, TIMES, Ok(tokens())).unwrap();
        assert_eq!((recorder.warmup, recorder.succeeded), (1, 1));
        let mut late = Recorder::default();
        let ticket = Ticket { due: millis(300), ..TICKET };
        let times = Times { taken: millis(200), sent: millis(301), end: millis(400) };
        late.record(&options, ticket, times, Err("late".into())).unwrap();
        recorder.merge(late);
        assert_eq!((recorder.first_due, recorder.last_end), (Some(millis(100)), millis(400)));
        assert_eq!((recorder.lag.len(), recorder.waited, recorder.errors["late"]), (2, 1, 1));
    }
}
