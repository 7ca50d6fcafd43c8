//! What was measured, as Markdown.

use crate::args::Args;
use crate::contestants::CONTESTANTS;
use crate::count::Count;
use crate::run::{Sample, Samples};
use crate::setup::Res;
use crate::works::{Load, Unit, Work};

/// A line of a work: what it tells, and how it follows from a sample.
struct Line {
    title: String,
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

fn lines(work: &'static Work) -> Vec<Line> {
    let per = move |sample: &Sample, n: Option<f64>| Some(n? / done(work, sample)?);
    let rate = move |sample: &Sample| Some(done(work, sample)? / sample.get("wall")?);
    let mut lines = match (work.unit, work.load) {
        (Unit::Bytes, _) => vec![
            line(format!("{}, CPU s per GiB", work.title), move |s| {
                Some(per(s, both(s, "cpu"))? * f64::from(1 << 30))
            }),
            line("same, MB per s", move |s| Some(rate(s)? / 1e6)),
        ],
        (Unit::Memory, Load::Idle { count, .. }) => {
            let count = count as f64;
            return vec![
                line(
                    format!("{}, KiB each of the server", work.title),
                    move |s| Some(s.get("server.rss")? / count),
                ),
                line("same, KiB of it on the heap", move |s| {
                    Some(s.get("server.held")? / count / 1024.0)
                }),
                line("same, CPU us per s of both", move |s| {
                    Some(both(s, "cpu")? * 1e6 / s.get("wall")?)
                }),
            ];
        }
        _ => vec![
            line(format!("{}, per s", work.title), rate),
            line("same, CPU us each", move |s| {
                Some(per(s, both(s, "cpu"))? * 1e6)
            }),
        ],
    };
    if let Load::Get { .. } = work.load {
        for (name, title) in [("p50", "same, p50 in ms"), ("p99", "same, p99 in ms")] {
            lines.push(line(title, move |s| s.get(name).copied()));
        }
    }
    lines.push(line("same, packets per send call", |s| {
        Some(count(s, Count::Packets)? / count(s, Count::Sends)?)
    }));
    lines.push(line("same, bytes per send call", |s| {
        Some(count(s, Count::Sent)? / count(s, Count::Sends)?)
    }));
    if work.unit == Unit::Each {
        lines.push(line("same, send calls each", move |s| {
            per(s, count(s, Count::Sends))
        }));
        for (title, of) in [
            ("same, allocations each", Count::Allocations),
            ("same, reallocations each", Count::Reallocations),
        ] {
            lines.push(line(title, move |s| per(s, count(s, of))));
        }
    }
    lines
}

/// A number as people read it.
fn number(n: f64) -> String {
    match n.abs() {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// The one in the middle, and half of the way between the quartiles as a share of it.
fn middle(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share).round() as usize);
    let median = *at(0.5).filter(|_| !values.is_empty())?;
    let spread = (at(0.75)? - at(0.25)?) / 2.0;
    Some((median, if median == 0.0 { 0.0 } else { spread / median }))
}

pub fn write(args: &Args, samples: &Samples) -> Res<()> {
    let columns: Vec<usize> = (0..CONTESTANTS.len())
        .filter(|at| args.contestants.contains(&CONTESTANTS[*at].name))
        .collect();
    let mut out = String::from("| work |");
    for at in &columns {
        out += &format!(" {} |", CONTESTANTS[*at].title);
    }
    out += &format!("\n|---|{}\n", "---|".repeat(columns.len()));
    for (row, work) in args.works.iter().enumerate() {
        for line in lines(work) {
            out += &format!("| {} |", line.title);
            for column in &columns {
                let taken = samples.get(&(row, *column)).map_or(&[][..], Vec::as_slice);
                let values: Vec<f64> = taken.iter().filter_map(&line.of).collect();
                let text = match values.is_empty() {
                    true => "-".to_owned(),
                    false => middle(values).map_or("-".into(), |(median, spread)| {
                        format!("{} ±{:.0}", number(median), spread * 100.0)
                    }),
                };
                match CONTESTANTS[*column].ours {
                    true => out += &format!(" **{text}** |"),
                    false => out += &format!(" {text} |"),
                }
            }
            out += "\n";
        }
    }
    println!("{out}");
    if let Some(dir) = &args.out {
        std::fs::write(dir.join("results.md"), out)?;
    }
    Ok(())
}
