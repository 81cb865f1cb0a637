//! Sending requests and timing their answers.

use super::feed::Feed;
use super::recorder::{Recorder, Times};
use super::{LoadOptions, LoadReport};
use crate::{Error, Progress, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What came of one request. Times are since its sending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// Tokens that the model read, if the target says so.
    pub tokens_in: Option<u64>,
    /// Tokens that it wrote, if the target says so.
    pub tokens_out: Option<u64>,
    /// When the first one came; the first of `token_times` by default.
    pub first_token: Option<Duration>,
    /// When each came, for the time between tokens; empty where they do not come one by one.
    pub token_times: Vec<Duration>,
}

/// Between two words of progress.
const TICK: Duration = Duration::from_millis(100);

/// Loads a target with requests and measures their answers.
///
/// `request` sends the request with this number (from 0, those of the warm-up included) and returns when it is answered;
/// it is called from as many threads as [`Load`](super::Load) says. An `Err` is counted by its message; only answers that
/// succeeded have a latency. A request that never returns holds the run: give the target a time limit. `progress` is
/// called on the caller's thread about ten times a second, with requests or, for a run by time, milliseconds.
///
/// # Errors
/// [`Error::Config`] for options outside their ranges, and for an `expected_interval` of less than a hundred-millionth of
/// a latency; [`Error::Refused`] when the system gives no more threads.
pub fn run_load<F>(
    options: &LoadOptions,
    request: F,
    progress: &mut Progress<'_>,
) -> Result<LoadReport>
where
    F: Fn(u64) -> Result<Response, String> + Sync,
{
    options.check()?;
    let feed = Mutex::new(Feed::new(options));
    let answered = AtomicU64::new(0);
    // The first worker that asks for a request starts the clock, when all of them are there.
    let start = OnceLock::new();
    let all = std::thread::scope(|scope| {
        let (alive, ended) = channel::<()>();
        let mut workers = Vec::with_capacity(options.workers());
        let mut held = lock(&feed);
        for _ in 0..options.workers() {
            let alive = alive.clone();
            let (feed, request, answered, start) = (&feed, &request, &answered, &start);
            let worker = std::thread::Builder::new().spawn_scoped(scope, move || {
                let _alive = alive;
                work(options, feed, request, answered, start)
            });
            match worker {
                Ok(worker) => workers.push(worker),
                Err(why) => {
                    held.end();
                    let (wanted, had) = (options.workers(), workers.len());
                    let why = format!("only {had} of {wanted} threads could be started: {why}");
                    return Err(Error::Refused(why));
                }
            }
        }
        drop((alive, held));
        // Each worker holds a sender until it ends.
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
            let now = start.get().map_or(Duration::ZERO, Instant::elapsed);
            let (done, all) = lock(&feed).progress(now, answered.load(Ordering::Relaxed));
            progress(done.min(all.saturating_sub(1)), all);
        }
        let mut all = Recorder::default();
        for worker in workers {
            match worker.join() {
                Ok(recorder) => all.merge(recorder?),
                // A panic of the caller's own code goes on in the caller.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })?;
    let (_, whole) = lock(&feed).progress(Duration::ZERO, answered.into_inner());
    progress(whole, whole);
    Ok(LoadReport::new(options, all))
}

fn work(
    options: &LoadOptions,
    feed: &Mutex<Feed<'_>>,
    request: &impl Fn(u64) -> Result<Response, String>,
    answered: &AtomicU64,
    start: &OnceLock<Instant>,
) -> Result<Recorder> {
    let mut recorder = Recorder::default();
    loop {
        // The time is taken under the lock, so that times of requests in a closed loop do not decrease.
        let (start, taken, ticket) = {
            let mut feed = lock(feed);
            let start = start.get_or_init(Instant::now);
            let taken = start.elapsed();
            (start, taken, feed.next(taken))
        };
        let Some(ticket) = ticket else { return Ok(recorder) };
        std::thread::sleep(ticket.due.saturating_sub(taken));
        let sent = start.elapsed();
        let answer = request(ticket.index);
        let times = Times { taken, sent, end: start.elapsed() };
        let recorded = recorder.record(options, ticket, times, answer);
        if recorded.is_err() {
            lock(feed).end();
        }
        recorded?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// A feed is whole between any two of its calls, even if a worker panicked.
fn lock<'f, 'a>(feed: &'f Mutex<Feed<'a>>) -> MutexGuard<'f, Feed<'a>> {
    feed.lock().unwrap_or_else(PoisonError::into_inner)
}
