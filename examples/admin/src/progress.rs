//! The progress of a long command.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::print::note;

/// A bar on a terminal. In a log, a line now and then, which shows that the work goes on.
pub struct Bar {
    is_terminal: bool,
    pause: Duration,
    begun: Instant,
    drawn: Instant,
    /// How many rows are done, and of how many, if that is known.
    at: Option<(u64, Option<u64>)>,
}

const WIDTH: usize = 30;

impl Bar {
    pub fn new() -> Bar {
        let (is_terminal, now) = (io::stderr().is_terminal(), Instant::now());
        let pause = Duration::from_millis(if is_terminal { 100 } else { 30_000 });
        Bar { is_terminal, pause, begun: now, drawn: now, at: None }
    }

    /// Shows how many rows are done, of how many. Nobody knows the total of rows from a pipe.
    pub fn show(&mut self, done: u64, total: Option<u64>) {
        self.at = (total != Some(0)).then_some((done, total));
        if self.drawn.elapsed() >= self.pause {
            self.drawn = Instant::now();
            self.draw();
        }
    }

    fn draw(&self) {
        let Some((done, total)) = self.at else {
            return;
        };
        let a_second = done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let (bar, said) = match total {
            Some(total) => {
                // Rows may have been added since they were counted.
                let share = done.min(total) as f64 / total as f64;
                let filled = "#".repeat((WIDTH as f64 * share) as usize);
                let percent = 100.0 * share;
                (format!("[{filled:WIDTH$}] "), format!("{done} of {total} rows, {percent:.0}%"))
            }
            None => (String::new(), format!("{done} rows")),
        };
        if !self.is_terminal {
            return note(format_args!("{said}, {a_second:.0} a second"));
        }
        let _nobody_reads = write!(io::stderr(), "\r{bar}{said}, {a_second:.0} a second\x1b[K");
    }
}

/// Prints the last state and ends the line, however the work ended.
impl Drop for Bar {
    fn drop(&mut self) {
        if self.is_terminal && self.at.is_some() {
            self.draw();
            note("");
        }
    }
}
