//! The operator at scale, on a real Kubernetes API server with the tests' own stand-in for the nodes. `make
//! bench-controller` runs it; benches/README.md says what it measures and what came out.
//!
//! Nothing here is a test: no figure is asserted. What is compared is measured in the same run, in turns, since the machine
//! is the same only then.

mod admin;
mod args;
mod fleets;
mod followed;
mod hour;
mod news;
mod operator;
mod process;
mod report;
mod requests;
mod rounds;
mod series;
mod world;

use std::io::{self, Write};

use anyhow::Context;
use clap::Parser;
use ringhold_test_cluster::Binaries;

use args::{Args, Output};
use report::{Comparison, Machine, Memory, Report, RoundRequests};
use requests::Audit;
use rounds::Rounds;
use world::World;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let report = run(&args).await?;
    let text = match args.output {
        Output::Table => report.to_string(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// Measures everything, in an order in which one thing can follow from the other.
async fn run(args: &Args) -> anyhow::Result<Report> {
    let machine = Machine::this();
    progress("starting etcd, the API server, its controllers, and the operator");
    let mut world = World::start(&Binaries::locate()?, args).await?;
    let operator = world.operator(world.operator_access()).await?;
    world.warm_up().await?;
    let before = operator.process().usage()?;

    let mut rounds = Rounds::new(args);
    for round in 1..=args.rounds {
        progress(&format!("round {round} of {}, Deployments", args.rounds));
        rounds.deployments(&world, &operator).await?;
        progress(&format!("round {round} of {}, LoadBalancers", args.rounds));
        rounds.loadbalancers(&world, &operator).await?;
        if round < args.rounds {
            rounds.remove_loadbalancers(&world).await?;
        }
    }

    progress("the way of news from the API server to the routes");
    let news = news::measure(&world, &operator, args, &rounds.news).await?;
    progress(&format!("{} s without any change", args.settled_seconds));
    let settled = hour::settled(&world, &operator, args).await?;
    let after = operator.process().usage()?;
    operator.stop().await?;

    progress("an operator that starts with everything there, and is cut off from the API server");
    let gate = world.cluster.gate().await?;
    let successor = world.operator(world.operator_access().through(&gate)).await?;
    let start = successor.took_to_start();
    let cut = hour::cut(&world, &gate, &successor).await?;
    rounds.remove_loadbalancers(&world).await?;
    successor.stop().await?;

    for round in 1..=args.default_rounds {
        progress(&format!(
            "round {round} of {}, Deployments, with the controllers' default limits",
            args.default_rounds
        ));
        rounds.deployments_at_default_limits(&mut world).await?;
    }

    // Only now every watch has ended, and stands in the log.
    progress("reading the API server's audit log");
    let audit = Audit::new(world.cluster.audit().await.context("the audit log can't be read")?);
    let access = world.operator_access();
    Ok(Report {
        machine,
        loadbalancers: args.loadbalancers,
        replicas: args.replicas,
        times: Comparison::new(&rounds),
        requests: RoundRequests::new(&audit, access.user(), &rounds),
        memory: Memory::new(before, &rounds, after),
        restart_seconds: start.as_secs_f64(),
        hour: hour::sum(&audit, access.user(), settled, cut),
        news,
    })
}

/// What happens right now, for people who wait.
fn progress(what: &str) {
    // Nobody may read it; the figures come on the other stream.
    drop(writeln!(io::stderr(), "bench-controller: {what}"));
}
