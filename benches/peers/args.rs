//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::contestants::{CONTESTANTS, Contestant};
use crate::measure::Span;
use crate::setup::Res;
use crate::works::{Unit, WORKS, Work};

const USAGE: &str = "\
usage: peers [OPTION...]
  --quick                a short look: one repetition, a third of a second each
  --repetitions N        of every work by every contestant; default 5
  --seconds S            measured of each; default 1
  --works A,B,...        some of the works
  --contestants A,B,...  some of the contestants
  --cores S,C            of the server and of the client; default 0,1
  --out DIR              where results.md and results.svg go; default none is written
  --keep FILE            adds what was measured to a file, and tells of all that is in it: for
                         measuring in parts; with --repetitions 0 it is only told
  --list                 the names of works and contestants";

#[derive(Debug)]
pub struct Args {
    pub repetitions: usize,
    pub window: Duration,
    pub works: Vec<&'static Work>,
    pub contestants: Vec<&'static str>,
    pub cores: [usize; 2],
    pub out: Option<PathBuf>,
    pub keep: Option<PathBuf>,
    /// Of the ends: where the server is, and their files.
    pub addr: SocketAddr,
    pub dir: PathBuf,
    /// For callgrind: the client ends when it has done so many.
    until: Option<u64>,
}

/// What this process is.
#[derive(Debug)]
pub enum Role {
    All,
    Server,
    Client { server: libc::pid_t },
}

impl Args {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Res<(Role, Self)> {
        let mut role = Role::All;
        let mut parsed = Self {
            repetitions: 5,
            window: Duration::from_secs(1),
            works: WORKS.iter().collect(),
            contestants: CONTESTANTS
                .iter()
                .map(|contestant| contestant.name)
                .collect(),
            cores: [0, 1],
            out: None,
            keep: None,
            addr: ([127, 0, 0, 1], 0).into(),
            dir: PathBuf::new(),
            until: None,
        };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match name.as_str() {
                "--quick" => {
                    parsed.repetitions = 1;
                    parsed.window = Duration::from_millis(300);
                }
                "--repetitions" => parsed.repetitions = value()?.parse()?,
                "--seconds" => parsed.window = Duration::from_secs_f64(value()?.parse()?),
                "--works" => parsed.works = names(&value()?, WORKS.iter(), |work| work.name)?,
                "--contestants" => {
                    let all = CONTESTANTS.iter().map(|contestant| contestant.name);
                    parsed.contestants = names(&value()?, all, |name| name)?;
                }
                "--cores" => {
                    let value = value()?;
                    let (server, client) = value.split_once(',').ok_or(USAGE)?;
                    parsed.cores = [server.parse()?, client.parse()?];
                }
                "--out" => parsed.out = Some(value()?.into()),
                "--keep" => parsed.keep = Some(value()?.into()),
                "--list" => {
                    for work in WORKS {
                        println!("{:<20} {}", work.name, work.title);
                    }
                    println!();
                    for contestant in CONTESTANTS {
                        println!("{}", contestant.name);
                    }
                    std::process::exit(0);
                }
                "server" => role = Role::Server,
                "client" => {
                    role = Role::Client {
                        server: value()?.parse()?,
                    }
                }
                "--addr" => parsed.addr = value()?.parse()?,
                "--dir" => parsed.dir = value()?.into(),
                "--until" => parsed.until = Some(value()?.parse()?),
                _ => return Err(USAGE.into()),
            }
        }
        Ok((role, parsed))
    }

    /// The work and the contestant of an end.
    pub fn one(&self) -> Res<(&'static Work, &'static Contestant)> {
        let (&[work], &[name]) = (&*self.works, &*self.contestants) else {
            return Err(USAGE.into());
        };
        let contestant = CONTESTANTS
            .iter()
            .find(|contestant| contestant.name == name);
        Ok((work, contestant.ok_or(USAGE)?))
    }

    /// What a client of a work measures.
    pub fn span(&self, work: &Work) -> Span {
        let warm = match work.unit {
            // Until acknowledgements and keys that are done with are gone.
            Unit::Memory => Duration::from_secs(2),
            _ => self.window / 3,
        };
        Span {
            warm,
            window: self.window,
            until: self.until.map(|n| (work.count, n)),
        }
    }

    /// The options that an end is started with.
    pub fn of_end(&self, work: &Work, contestant: &Contestant) -> Vec<String> {
        let seconds = self.window.as_secs_f64().to_string();
        let options = [
            ("--works", work.name),
            ("--contestants", contestant.name),
            ("--seconds", &seconds),
        ];
        options
            .iter()
            .flat_map(|(name, value)| [*name, value].map(str::to_owned))
            .collect()
    }
}

/// Those of a list that are named, in the order of all.
fn names<T: Copy>(
    list: &str,
    all: impl Iterator<Item = T> + Clone,
    name: impl Fn(T) -> &'static str,
) -> Res<Vec<T>> {
    if let Some(unknown) = list
        .split(',')
        .find(|named| all.clone().all(|one| name(one) != *named))
    {
        return Err(format!("{unknown} is unknown\n{USAGE}").into());
    }
    Ok(all
        .filter(|one| list.split(',').any(|named| named == name(*one)))
        .collect())
}
