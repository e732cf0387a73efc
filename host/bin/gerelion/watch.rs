//! `gerelion watch`.

use clap::Args;
use gerelion::errors::{Code, Failure, OnFailure};
use gerelion::tools::watch::{Screen, Server, View, Watcher, text};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Columns of lines that go to a file.
const COLUMNS: usize = 160;

/// Options of `gerelion watch`.
#[derive(Args)]
pub struct Arguments {
    /// Output roots of runs (their --o), or folders with runs inside
    #[arg(value_name = "PREFIX|FOLDER", required = true)]
    places: Vec<String>,
    /// Interval between updates
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// Look once, print and end
    #[arg(long, conflicts_with = "serve")]
    once: bool,
    /// Serve a page on this machine (127.0.0.1) to a browser instead; it ends with Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Port of the page; 0 takes a free one
    #[arg(long, default_value_t = 0, requires = "serve")]
    port: u16,
}

/// Run the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut watcher = Watcher::new(arguments.places.clone());
    let view = watcher.look()?;
    let pause = Duration::from_secs(arguments.every);
    if arguments.serve {
        return serve(watcher, view, arguments, pause);
    }
    let on_terminal = io::stdout().is_terminal() && !arguments.once;
    let mut screen = Screen::default();
    let mut show = |view: &View| match on_terminal {
        true => screen.show(view),
        false => writeln!(io::stdout(), "{}", text(view, COLUMNS)),
    };
    let mut view = view;
    loop {
        match show(&view) {
            // Nobody reads any more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            shown => shown.or_says(Code::CANNOT_WRITE, "standard output")?,
        }
        if arguments.once || view.has_ended() {
            return Ok(());
        }
        std::thread::sleep(pause);
        view = watcher.look()?;
    }
}

fn serve(
    mut watcher: Watcher,
    view: View,
    arguments: &Arguments,
    pause: Duration,
) -> Result<(), Failure> {
    let server = Server::listen(arguments.port, arguments.every.max(2))?;
    server.show(view);
    server
        .start()
        .or_says(Code::SYSTEM_LIMIT, "a thread for the page")?;
    // The address is all that there is to see, and a lost terminal no reason to end.
    let _ = writeln!(
        io::stdout(),
        "{}\nOpen this address in a browser on this machine; other users cannot guess it. Ctrl-C ends the page.",
        server.address()
    );
    loop {
        std::thread::sleep(pause);
        server.show(watcher.look()?);
    }
}
