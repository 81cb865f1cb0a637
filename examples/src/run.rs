//! How a program ends.

use std::error::Error;
use std::process::ExitCode;

/// Any error; programs print it and give up.
pub type Failure = Box<dyn Error>;

/// Runs a program's work. An error is printed with its causes, and the exit code is 1.
pub fn run(work: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    let Err(error) = work() else { return ExitCode::SUCCESS };
    // A reader such as `head` that has seen enough is no failure.
    if let Some(error) = error.downcast_ref::<std::io::Error>()
        && error.kind() == std::io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    let mut shown = error.to_string();
    eprintln!("error: {shown}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many messages already end with their cause.
        if !shown.contains(&text) {
            eprintln!("  caused by: {text}");
            shown = text;
        }
        cause = error.source();
    }
    ExitCode::FAILURE
}
