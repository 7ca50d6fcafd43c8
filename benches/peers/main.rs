//! Aqueduct beside other implementations, and beside quinn-proto alone: the same works,
//! one after another, by a server on one core and a client on another.

mod args;
mod chart;
mod contestants;
mod count;
mod load;
mod machine;
mod measure;
mod run;
mod setup;
mod table;
mod works;

use args::{Args, Role};
use measure::{Process, die, watch};
use setup::{Res, Setup};

fn main() {
    let result = match Args::parse(std::env::args().skip(1)) {
        Ok((Role::All, args)) => run::all(&args),
        Ok((Role::Server, args)) => end(&args, None),
        Ok((Role::Client { server }, args)) => end(&args, Some(server)),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        die(error);
    }
}

/// One of the two ends of one work.
fn end(args: &Args, server: Option<libc::pid_t>) -> Res<()> {
    let (work, contestant) = args.one()?;
    let setup = Setup::new(args.addr, &args.dir);
    let files = ["client", "server"].map(|name| setup.file(name));
    let Some(server) = server else {
        count::count_into(&files[1])?;
        return (contestant.run)(&setup, None);
    };
    count::count_into(&files[0])?;
    let pids = [std::process::id() as libc::pid_t, server];
    let [client, server] = [0, 1].map(|at| (pids[at], count::map(&files[at])));
    let (client, server) = (
        Process {
            pid: client.0,
            page: client.1?,
        },
        Process {
            pid: server.0,
            page: server.1?,
        },
    );
    let span = args.span(work);
    std::thread::spawn(move || {
        if let Err(error) = watch(&client, &server, span) {
            die(error);
        }
    });
    (contestant.run)(&setup, Some(work.load))
}
