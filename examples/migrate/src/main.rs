//! The program: see the library.

use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::WARN).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(migrate::run(
            std::env::args().skip(1),
            |name| std::env::var(name).ok(),
            &migrate::Progress::on_stderr(),
        )),
        Err(e) => Err(privet::Error::unavailable("tokio", e)),
    };
    match done {
        Ok((report, whole)) => {
            // Where there is nobody to tell, the exit code says it.
            let _ = write!(io::stdout(), "{report}");
            if whole { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(2)
        }
    }
}
