//! Instructions per request: `cargo bench -p privet-benches --bench instructions [-- --check]`.
//!
//! Each case runs twice under valgrind, with 500 and with 2,500 requests; the difference by 2,000 is what one request
//! costs, without start and warming. The figures repeat to a few units on one machine. `--check` fails when a case is
//! over its budget.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is for")]

use std::process::{Command, ExitCode};

use privet_benches::{Bench, Case};

const FEW: u64 = 500;
const MANY: u64 = 2_500;

fn count(case: Case, requests: u64) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", case.name(), &requests.to_string()])
        .output()
        .map_err(|e| format!("valgrind does not start ({e}); install it: apt-get install valgrind"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} under valgrind: {}\n{told}", case.name(), output.status));
    }
    told.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, n)| n.trim().parse().ok())
        .ok_or_else(|| format!("valgrind gives no count:\n{told}"))
}

fn table(check: bool) -> Result<bool, String> {
    println!("{:<42}{:>12}{:>12}{:>10}", "instructions per request", "", "over bare", "budget");
    let mut bare = 0;
    let mut kept = true;
    for case in Case::ALL {
        let each = (count(case, MANY)? - count(case, FEW)?) / (MANY - FEW);
        if case.is_bare() {
            bare = each;
        }
        let budget = case.budget().map(|b| b.to_string()).unwrap_or_default();
        let over = case.budget().is_some_and(|b| each > b);
        let mark = if over { "  over budget" } else { "" };
        println!("{:<42}{each:>12}{:>12}{budget:>10}{mark}", case.name(), each - bare.min(each));
        kept &= !over;
    }
    Ok(kept || !check)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [run, name, requests] = args.as_slice()
        && run == "--run"
        && let (Some(case), Ok(requests)) = (Case::named(name), requests.parse())
    {
        Bench::new(case).run(requests);
        return ExitCode::SUCCESS;
    }
    match table(args.iter().any(|a| a == "--check")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
