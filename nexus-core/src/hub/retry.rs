//! Which failures are worth another attempt, and how long to wait before it.

use super::{Hub, hub_error};
use crate::{Error, Result};
use std::time::Duration;

/// The longest pause before another attempt, also when the server asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// For a reason that may pass, with the pause that the server asks for.
    Passing { why: String, pause: Option<Duration> },
    /// For a reason that another attempt would meet again.
    Lasting(Error),
}

impl Failure {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), pause: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// Counts the attempts at one thing.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    hub: &'a Hub,
    /// What is attempted, for the error at the end.
    what: &'a str,
    failed: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(hub: &'a Hub, what: &'a str) -> Self {
        Self { hub, what, failed: 0 }
    }

    /// Starts counting anew, since the last attempt got on.
    pub(super) fn renew(&mut self) {
        self.failed = 0;
    }

    /// Waits until the next attempt may be made.
    ///
    /// # Errors
    /// The failure, when it is a lasting one or there were as many attempts as the settings allow.
    pub(super) fn wait(&mut self, failure: Failure) -> Result<()> {
        let (why, pause) = match failure {
            Failure::Lasting(error) => return Err(error),
            Failure::Passing { why, pause } => (why, pause),
        };
        if self.failed >= self.hub.retries {
            let attempts = self.failed + 1;
            return Err(hub_error(
                self.what,
                format!(
                    "{why} (attempt {attempts} of {attempts}); try again later, or set HF_HUB_OFFLINE=1 \
                     to use what is in the cache"
                ),
            ));
        }
        let doubled = self.hub.backoff.saturating_mul(1 << self.failed.min(16));
        std::thread::sleep(pause.unwrap_or(doubled).min(MAX_PAUSE));
        self.failed += 1;
        Ok(())
    }

    /// Attempts it until it succeeds or patience ends.
    pub(super) fn attempt<T>(mut self, mut once: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        loop {
            match once() {
                Ok(value) => return Ok(value),
                Err(failure) => self.wait(failure)?,
            }
        }
    }
}
