//! The chat example as the tests run it: the same program, with a catalogue of the test's and a clock that may run
//! faster.

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};

use privet::{Clock, SystemClock, Timestamp};

/// Each look at it lets some time pass, so that an hour fits into some thousand requests.
#[derive(Debug)]
struct FastClock {
    step: i64,
    passed: AtomicI64,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.passed.fetch_add(self.step, Ordering::Relaxed);
        Timestamp::from_millis(SystemClock.now().as_millis() + passed)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let step = env::var("PRIVET_TEST_STEP_MS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let catalogue = env::var("PRIVET_TEST_CATALOGUE").ok().and_then(|p| std::fs::read_to_string(p).ok());
    let clock = FastClock { step, passed: AtomicI64::new(0) };
    chat_axum::run(catalogue.as_deref().unwrap_or(chat_axum::CATALOGUE), clock).await
}
