//! A chat example as the tests run it: the same program, on the framework that `PRIVET_TEST_FRAMEWORK` names, with a
//! catalogue of the test's and a clock that may run faster.

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};

use privet::{Clock, SystemClock, Timestamp};
use privet_tests::server::Framework;

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

#[allow(clippy::expect_used, reason = "a test program that cannot start has to say so")]
fn main() -> ExitCode {
    let step = env::var("PRIVET_TEST_STEP_MS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let catalogue = env::var("PRIVET_TEST_CATALOGUE").ok().and_then(|p| std::fs::read_to_string(p).ok());
    let catalogue = catalogue.as_deref().unwrap_or(chat_shop::CATALOGUE);
    let clock = FastClock { step, passed: AtomicI64::new(0) };
    let framework = env::var(Framework::VARIABLE).ok().and_then(|name| Framework::named(&name));
    match framework.expect("PRIVET_TEST_FRAMEWORK is axum or actix-web") {
        Framework::Axum => tokio::runtime::Runtime::new().expect("a runtime").block_on(chat_shop::run(
            catalogue,
            clock,
            chat_axum::serve,
        )),
        Framework::ActixWeb => {
            actix_web::rt::System::new().block_on(chat_shop::run(catalogue, clock, chat_actix::serve))
        }
    }
}
