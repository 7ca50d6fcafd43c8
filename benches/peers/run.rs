//! All works by all contestants, in turns.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::args::Args;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::setup::{Res, Setup};
use crate::table;
use crate::works::Work;

/// What one run of one work told, by name.
pub type Sample = BTreeMap<String, f64>;
/// The samples of each work, and in it of each contestant.
pub type Samples = BTreeMap<(usize, usize), Vec<Sample>>;

pub fn all(args: &Args) -> Res<()> {
    let dir = Folder::new()?;
    Setup::prepare(&dir.0)?;
    let mut samples = kept(args)?;
    for repetition in 1..=args.repetitions {
        for (row, work) in args.works.iter().enumerate() {
            eprintln!("{repetition} of {}: {}", args.repetitions, work.title);
            for (column, contestant) in CONTESTANTS.iter().enumerate() {
                if !args.contestants.contains(&contestant.name) || !contestant.can(work.needs) {
                    continue;
                }
                match pair(args, &dir.0, work, contestant) {
                    Ok(sample) => {
                        keep(args, work, contestant, &sample)?;
                        samples.entry((row, column)).or_default().push(sample);
                    }
                    Err(error) => eprintln!("{}, {}: {error}", contestant.name, work.name),
                }
            }
        }
    }
    table::write(args, &samples)
}

/// Adds a sample to the file of those that are kept: a line of it.
fn keep(args: &Args, work: &Work, contestant: &Contestant, sample: &Sample) -> Res<()> {
    let Some(file) = &args.keep else {
        return Ok(());
    };
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    let values: String = sample
        .iter()
        .map(|(name, value)| format!(" {name} {value}"))
        .collect();
    Ok(writeln!(file, "{} {}{values}", work.name, contestant.name)?)
}

/// What was kept of the works that are asked for.
fn kept(args: &Args) -> Res<Samples> {
    let mut samples = Samples::new();
    let Some(file) = args.keep.as_ref().filter(|file| file.exists()) else {
        return Ok(samples);
    };
    for line in std::fs::read_to_string(file)?.lines() {
        let mut words = line.split(' ');
        let (work, contestant) = (words.next(), words.next());
        let row = args.works.iter().position(|one| Some(one.name) == work);
        let column = CONTESTANTS
            .iter()
            .position(|one| Some(one.name) == contestant);
        if let (Some(row), Some(column)) = (row, column) {
            let mut sample = Sample::new();
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                sample.insert(name.to_owned(), value.parse()?);
            }
            samples.entry((row, column)).or_default().push(sample);
        }
    }
    Ok(samples)
}

/// A server and a client of one contestant, for one work.
fn pair(args: &Args, dir: &Path, work: &Work, contestant: &Contestant) -> Res<Sample> {
    for file in ["client", "server"] {
        std::fs::write(dir.join(file), "")?;
    }
    let options = args.of_end(work, contestant);
    let mut server = End(start(dir, args.cores[0], &["server".into()], &options)?);
    let told = server.0.stdout.take().ok_or("no output")?;
    let mut addr = String::new();
    BufReader::new(told).read_line(&mut addr)?;
    let role = [
        "client".into(),
        server.0.id().to_string(),
        "--addr".into(),
        addr.trim().into(),
    ];
    let mut client = End(start(dir, args.cores[1], &role, &options)?);
    let told = BufReader::new(client.0.stdout.take().ok_or("no output")?);
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut sample = Sample::new();
        for line in told.lines().map_while(Result::ok) {
            if let Some((name, value)) = line.split_once(' ')
                && let Ok(value) = value.parse()
            {
                sample.insert(name.to_owned(), value);
            }
        }
        // Nobody waits any more if it took too long.
        let _ = done.send(sample);
    });
    let sample = wait
        .recv_timeout(Duration::from_secs(60))
        .map_err(|_| "it does not end")?;
    match sample.is_empty() {
        true => Err("it has failed".into()),
        false => Ok(sample),
    }
}

fn start(dir: &Path, core: usize, role: &[String], options: &[String]) -> Res<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(role)
        .args(options)
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null());
    // SAFETY: one system call on a value of its own.
    unsafe {
        command.pre_exec(move || {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core, &mut set);
            // A machine without that core runs it where it likes.
            libc::sched_setaffinity(0, size_of_val(&set), &set);
            Ok(())
        });
    }
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

/// A process that ends with its owner.
struct End(Child);

impl Drop for End {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder in memory that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Res<Self> {
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() {
            base.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = base.join(format!("aqueduct-peers-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is small, and in memory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
