//! What Ringhold tells: a story for people on standard output, a log for operators on standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The log's filter can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level: {value}: use error, warn, info, debug or trace, or a filter such as ringhold::proxy=debug")]
pub struct BadFilter {
    value: String,
}

/// Lines for people, each under the name that it is about. Copies write to the same place.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    colours: bool,
}

/// Sends the log to standard error.
///
/// # Errors
/// The filter can't be read.
pub fn init(level: &str, format: LogFormat) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(level).map_err(|_| BadFilter { value: level.to_owned() })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Says why Ringhold ends without having done what it should.
pub fn report(error: &str) {
    // Standard error is the last place to say it; if nobody listens there, nobody does.
    let _ = writeln!(io::stderr().lock(), "ringhold: {error}");
}

// === impl Console ===

impl Console {
    /// The process's standard output, with colours where a terminal shows it and `NO_COLOR` is not set.
    #[must_use]
    pub fn stdout() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours }
    }

    /// A line of the story.
    pub fn say(self, about: impl fmt::Display, line: impl fmt::Display) {
        if self.colours {
            Self::write(format_args!("\x1b[1;36m{about}\x1b[0m  {line}\n"));
        } else {
            Self::write(format_args!("{about}  {line}\n"));
        }
    }

    /// A line that a replica wrote.
    pub fn relay(self, replica: impl fmt::Display, line: impl fmt::Display) {
        if self.colours {
            Self::write(format_args!("\x1b[2m[{replica}] {line}\x1b[0m\n"));
        } else {
            Self::write(format_args!("[{replica}] {line}\n"));
        }
    }

    /// Whole lines only, so that lines of several threads do not mix. Nobody reads it any more: then nobody misses it.
    fn write(line: fmt::Arguments<'_>) {
        let _ = io::stdout().lock().write_all(line.to_string().as_bytes());
    }
}
