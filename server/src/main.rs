//! The sample replica: small, honest endpoints to see and test a fleet with. It knows nothing of who runs it; what it
//! is told comes by arguments and environment, and it stops as a good container does.

mod args;
mod request_log;
mod routes;
mod signals;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;

use args::Args;
use request_log::RequestLog;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.fail {
        say(&format!("{}: told to fail", args.name()));
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("can't start: {error}")),
    };
    match runtime.block_on(run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("can't serve on {}:{}: {error}", args.address, args.port)),
    }
}

/// Serves until told to stop, then until running requests have ended.
async fn run(args: &Args) -> io::Result<()> {
    let (mut stopping, stopped) = signals::stop_on_signal()?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(args.start_delay_ms)) => {}
        () = stopping.requested() => return Ok(()),
    }
    let name = args.name();
    let log = args.request_log.as_deref().map(|file| RequestLog::open(file, &name)).transpose()?;
    let listener = TcpListener::bind((args.address, args.port)).await?;
    say(&format!("{name} listens on {}", listener.local_addr()?));
    // Answers are small and often trickle: waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let app = routes::router(&name, args.ordinal, log, stopping.clone());
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stopping.requested().await })
        .await?;
    stopped.wait().await;
    say(&format!("{name} has stopped"));
    Ok(())
}

/// One line for people. A closed pipe is no reason to stop serving.
fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

fn failed(line: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "ringhold-server: {line}"));
    ExitCode::FAILURE
}
