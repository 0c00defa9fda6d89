//! The program: see the library.

use std::io::{self, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match audit::run(std::env::args().skip(1), &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            // Where there is nobody to tell, the exit code says it.
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(2)
        }
    }
}
