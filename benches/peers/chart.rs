//! What was measured, as a picture: a panel for each work, a bar for each contestant.

use std::fmt::Write as _;

use crate::args::Args;
use crate::contestants::CONTESTANTS;
use crate::run::Samples;
use crate::table::{middle, number, rate};

const PANELS: usize = 3;
const PANEL: f64 = 400.0;
const NAME: f64 = 125.0;
const BAR: f64 = 190.0;
const LINE: f64 = 15.0;
const GAP: f64 = 26.0;

pub fn draw(args: &Args, samples: &Samples) -> String {
    let (mut body, mut columns) = (String::new(), [0.0_f64; PANELS]);
    for (row, work) in args.works.iter().enumerate() {
        let line = rate(work);
        let bars: Vec<_> = (CONTESTANTS.iter().enumerate())
            .filter_map(|(at, one)| Some((one, middle(&line, samples.get(&(row, at))?)?.0)))
            .collect();
        let longest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if longest <= 0.0 {
            continue;
        }
        // The shortest column gets it.
        let column = (0..PANELS)
            .min_by(|a, b| columns[*a].total_cmp(&columns[*b]))
            .unwrap_or(0);
        let (left, mut y) = (column as f64 * PANEL, columns[column] + GAP);
        text(&mut body, left, y - 6.0, "title", "start", &line.title);
        for (contestant, value) in bars {
            let width = value / longest * BAR;
            let class = if contestant.ours { "ours" } else { "peer" };
            text(
                &mut body,
                left + NAME - 4.0,
                y + 10.0,
                "name",
                "end",
                contestant.name,
            );
            let _ = writeln!(
                body,
                r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{width:.1}" height="11"/>"#,
                left + NAME,
                y + 1.0,
            );
            text(
                &mut body,
                left + NAME + width + 4.0,
                y + 10.0,
                "name",
                "start",
                &number(value),
            );
            y += LINE;
        }
        columns[column] = y;
    }
    let (width, height) = (
        PANELS as f64 * PANEL,
        columns.iter().fold(0.0, |a, b| b.max(a)) + 10.0,
    );
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif">
<style>
.title {{ font-size: 12px; font-weight: bold; fill: #222 }}
.name {{ font-size: 10px; fill: #444 }}
.ours {{ fill: #1f77b4 }}
.peer {{ fill: #bbb }}
</style>
<rect width="100%" height="100%" fill="#fff"/>
{body}</svg>
"##
    )
}

fn text(body: &mut String, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
    let _ = writeln!(
        body,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
    );
}
