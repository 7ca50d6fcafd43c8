//! Progress bars on transfers: on a terminal only, and never with `--json`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const SIZED: &str = "{prefix:20!} {bar:28.cyan/dim} {binary_bytes:>11} of \
                     {binary_total_bytes:<11} {binary_bytes_per_sec:>13}  {eta:>3} left";
const COUNTING: &str = "{prefix:20!} {spinner:.cyan} {binary_bytes:>11}  \
                        {binary_bytes_per_sec:>13}  {elapsed}";

/// The place where bars are drawn.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    shown: bool,
}

impl Progress {
    /// Bars on standard error when that is a terminal and `json` is off; else nothing is drawn.
    pub fn new(json: bool) -> Self {
        let shown = !json && io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            shown,
        }
    }

    /// Adds a bar of bytes. Without a `total` it counts.
    pub fn transfer(&self, name: &str, total: Option<u64>) -> Transfer {
        let bar = ProgressBar::hidden().with_prefix(name.to_owned());
        set_total(&bar, total);
        // It is drawn as it is added.
        let bar = self.bars.add(bar);
        if self.shown {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Transfer { bar }
    }

    /// The same for bytes that come on standard output: where that is the terminal as well, a bar
    /// would be in the midst of them.
    pub fn beside_stdout(&self, name: &str, total: Option<u64>) -> Transfer {
        if self.shown && io::stdout().is_terminal() {
            return Transfer {
                bar: ProgressBar::hidden(),
            };
        }
        self.transfer(name, total)
    }

    /// Writes a line above the bars, so that they do not tear it.
    pub fn above(&self, write: impl FnOnce()) {
        self.bars.suspend(write);
    }
}

/// One transfer's bar. It vanishes when dropped.
#[derive(Debug)]
pub struct Transfer {
    bar: ProgressBar,
}

impl Transfer {
    /// Counts bytes that were moved.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Bytes moved so far.
    pub fn position(&self) -> u64 {
        self.bar.position()
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn set_total(bar: &ProgressBar, total: Option<u64>) {
    match total {
        Some(total) => {
            bar.set_length(total);
            bar.set_style(style(SIZED));
        }
        None => bar.set_style(style(COUNTING)),
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, which a test parses.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [SIZED, COUNTING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn a_transfer_counts_although_nothing_is_drawn() {
        let progress = Progress::new(true);
        let transfer = progress.transfer("file", Some(10));
        transfer.add(5);
        transfer.add(5);
        assert_eq!(transfer.position(), 10);
        assert!(transfer.bar.is_hidden());
    }
}
