//! What was measured, as Markdown.

use std::fmt::Write as _;

use crate::args::Args;
use crate::chart;
use crate::contestants::CONTESTANTS;
use crate::count::Count;
use crate::machine;
use crate::run::{Sample, Samples};
use crate::setup::Res;
use crate::works::{Load, Unit, Work};

/// A line of a work: what it tells, and how it follows from a sample.
pub struct Line {
    pub title: String,
    of: Box<dyn Fn(&Sample) -> Option<f64>>,
}

fn line(title: impl Into<String>, of: impl Fn(&Sample) -> Option<f64> + 'static) -> Line {
    Line {
        title: title.into(),
        of: Box::new(of),
    }
}

/// A count of one side or of both.
fn both(sample: &Sample, name: &str) -> Option<f64> {
    Some(sample.get(&format!("client.{name}"))? + sample.get(&format!("server.{name}"))?)
}

fn count(sample: &Sample, count: Count) -> Option<f64> {
    both(sample, &(count as usize).to_string())
}

/// How often the work was done.
fn done(work: &Work, sample: &Sample) -> Option<f64> {
    let side = if work.by_server { "server" } else { "client" };
    sample
        .get(&format!("{side}.{}", work.count as usize))
        .copied()
        .filter(|n| *n > 0.0)
}

/// So much for each time that the work was done.
fn each(work: &Work, sample: &Sample, n: Option<f64>) -> Option<f64> {
    Some(n? / done(work, sample)?)
}

/// What is told first of a work: its rate, or its memory.
pub fn rate(work: &'static Work) -> Line {
    let rate = move |s: &Sample| Some(done(work, s)? / s.get("wall")?);
    match (work.unit, work.load) {
        (Unit::Bytes, _) => line(format!("{}, MB per s", work.title), move |s| {
            Some(rate(s)? / 1e6)
        }),
        (Unit::Memory, Load::Idle { count, .. }) => line(
            format!("{}, KiB each of the server", work.title),
            move |s| Some(s.get("server.rss")? / count as f64),
        ),
        _ => line(format!("{}, per s", work.title), rate),
    }
}

/// Rates, CPU, latency.
fn first(work: &'static Work) -> Vec<Line> {
    let mut lines = vec![rate(work)];
    match (work.unit, work.load) {
        (Unit::Bytes, _) => lines.push(line("same, CPU s per GiB", move |s| {
            Some(each(work, s, both(s, "cpu"))? * f64::from(1 << 30))
        })),
        (Unit::Memory, Load::Idle { count, .. }) => {
            lines.push(line("same, KiB of it on Rust's heap", move |s| {
                Some(s.get("server.held")? / count as f64 / 1024.0)
            }));
            lines.push(line("same, CPU us per s of both, at rest", move |s| {
                Some(both(s, "cpu")? * 1e6 / s.get("wall")?)
            }));
        }
        _ => lines.push(line("same, CPU us each", move |s| {
            Some(each(work, s, both(s, "cpu"))? * 1e6)
        })),
    }
    if let Load::Get { .. } = work.load {
        for (name, title) in [("p50", "same, p50 in ms"), ("p99", "same, p99 in ms")] {
            lines.push(line(title, move |s| s.get(name).copied()));
        }
    }
    lines
}

/// What a send call carries, and allocations.
fn second(work: &'static Work) -> Vec<Line> {
    let per_call = |of: Count| {
        move |s: &Sample| Some(count(s, of)? / count(s, Count::Sends).filter(|n| *n > 0.0)?)
    };
    let mut lines = vec![
        line(
            format!("{}, packets per send call", work.title),
            per_call(Count::Packets),
        ),
        line("same, bytes per send call", per_call(Count::Sent)),
    ];
    if work.unit == Unit::Each {
        for (title, of) in [
            ("same, send calls each", Count::Sends),
            ("same, packets each", Count::Packets),
            ("same, allocations each", Count::Allocations),
            ("same, reallocations each", Count::Reallocations),
        ] {
            lines.push(line(title, move |s| each(work, s, count(s, of))));
        }
    }
    lines
}

/// A number as people read it.
pub fn number(n: f64) -> String {
    match n.abs() {
        abs if abs >= 1e6 => format!("{:.2} M", n / 1e6),
        abs if abs >= 1e4 => format!("{:.0} k", n / 1e3),
        abs if abs >= 1e3 => format!("{:.1} k", n / 1e3),
        abs if abs >= 100.0 => format!("{n:.0}"),
        abs if abs >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// The one in the middle, and half of the way between the quartiles as a share of it.
pub fn middle(line: &Line, samples: &[Sample]) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = samples.iter().filter_map(&line.of).collect();
    values.sort_by(f64::total_cmp);
    let at =
        |share: f64| values.get((values.len().saturating_sub(1) as f64 * share).round() as usize);
    let median = *at(0.5)?;
    let spread = (at(0.75)? - at(0.25)?) / 2.0;
    Some((median, if median == 0.0 { 0.0 } else { spread / median }))
}

fn table(args: &Args, samples: &Samples, lines: fn(&'static Work) -> Vec<Line>) -> String {
    let taking_part = |at: &usize| args.contestants.contains(&CONTESTANTS[*at].name);
    let columns: Vec<usize> = (0..CONTESTANTS.len()).filter(taking_part).collect();
    let mut out = String::from("| work |");
    for at in &columns {
        out += &format!(" {} |", CONTESTANTS[*at].title);
    }
    out += &format!("\n|---|{}\n", "---|".repeat(columns.len()));
    for (row, work) in args.works.iter().enumerate() {
        for line in lines(work) {
            let mut cells = String::new();
            for column in &columns {
                let taken = samples.get(&(row, *column)).map_or(&[][..], Vec::as_slice);
                let cell = match middle(&line, taken) {
                    None => "-".to_owned(),
                    Some((median, spread)) if CONTESTANTS[*column].ours => {
                        format!("**{}** ±{:.0}", number(median), spread * 100.0)
                    }
                    Some((median, spread)) => format!("{} ±{:.0}", number(median), spread * 100.0),
                };
                cells += &format!(" {cell} |");
            }
            out += &format!("| {} |{cells}\n", line.title);
        }
    }
    out
}

pub fn write(args: &Args, samples: &Samples) -> Res<()> {
    let mut out = String::from("# Beside the peers\n\n");
    writeln!(out, "{}\n", machine::told(args)?)?;
    writeln!(
        out,
        "Medians; ± is half of the way between the quartiles, in percent. CPU is that of both \
         processes, in user and system mode. What is in bold is ours; \"floor\" is quinn-proto and \
         quinn-udp in a loop, without HTTP, with 10 datagrams a send call as quinn has them, and with \
         as many as a call takes. A dash: the contestant does not have it, or it did not go.\n"
    )?;
    out += &table(args, samples, first);
    out += "\n## Send calls and allocations\n\nOf both processes.\n\n";
    out += &table(args, samples, second);
    match &args.out {
        None => println!("{out}"),
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            std::fs::write(dir.join("results.md"), out)?;
            std::fs::write(dir.join("results.svg"), chart::draw(args, samples))?;
            println!("{0}/results.md, {0}/results.svg", dir.display());
        }
    }
    Ok(())
}
