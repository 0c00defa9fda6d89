//! How far it is, on stderr: one line that is rewritten, or plain lines where stderr is no terminal.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells how far it is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Progress {
    /// Tells on stderr.
    #[must_use]
    pub fn on_stderr() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            return Self { bar: None, lines: true };
        }
        let style =
            ProgressStyle::with_template("{prefix:>12} [{bar:30}] {percent:>3}% of {human_len} rows, {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar: Some(bar), lines: false }
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self { bar: None, lines: false }
    }

    /// Something to tell beside the bar. Where there is nobody to tell, nothing is lost.
    pub(crate) fn say(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| drop(writeln!(io::stderr(), "{what}"))),
            None if self.lines => drop(writeln!(io::stderr(), "{what}")),
            None => {}
        }
    }

    pub(crate) fn begin(&self, what: &str, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(rows);
            bar.set_prefix(what.to_owned());
        } else {
            self.say(&format!("{what}: {rows} rows"));
        }
    }

    pub(crate) fn table(&self, name: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(name);
        }
    }

    pub(crate) fn advance(&self, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(rows);
        }
    }

    pub(crate) fn done(&self, name: &'static str, rows: u64) {
        if self.bar.is_none() {
            self.say(&format!("  {name}: {rows} rows"));
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
