//! The figures as a table for the terminal.

use std::fmt;

use super::{Comparison, Memory, Report, RoundRequests};
use crate::hour::Hour;
use crate::news::{News, Own};
use crate::requests::Counts;
use crate::rounds::Times;
use crate::series::Summary;

/// How many kinds of requests are named; the rest is summed up.
const NAMED: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, loadbalancers, replicas, times, requests, memory, restart_seconds, hour, news } = self;
        writeln!(
            f,
            "\n{loadbalancers} × {replicas} replicas; {} cores, {} GiB, load before {}; {}\n",
            machine.cores, machine.memory_gibibytes, machine.load_before, machine.profile
        )?;
        write!(f, "{times}\n{requests}\n{memory}")?;
        line(f, "a start with all of it there", &format!("{restart_seconds:.2} s until it routes all and acts"))?;
        write!(f, "\n{hour}\n{news}")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loadbalancers, deployments, deployments_at_default_limits } = self;
        writeln!(
            f,
            "From the first create on, in seconds: median (least – most, rounds); CPU: of the process that acts"
        )?;
        writeln!(
            f,
            "  {:<38}{:>26}{:>26}{:>26}{:>18}",
            "", "all pods ready", "every status says so", "deleted, all pods gone", "CPU"
        )?;
        let rows = [
            ("LoadBalancers", loadbalancers, false),
            ("Deployments, the limits lifted", deployments, true),
            ("Deployments, the controllers' defaults", deployments_at_default_limits, true),
        ];
        for (name, times, by_controllers) in rows {
            let Some(times) = times else { continue };
            let Times { pods_ready_seconds, status_ready_seconds, pods_gone_seconds, .. } = times;
            let cpu = if by_controllers { &times.controllers_cpu_seconds } else { &times.operator_cpu_seconds };
            let gone = pods_gone_seconds.as_ref().map_or_else(|| "–".to_owned(), spread);
            writeln!(
                f,
                "  {name:<38}{:>26}{:>26}{gone:>26}{:>18}",
                spread(pods_ready_seconds),
                spread(status_ready_seconds),
                format!("{:.2}", cpu.median)
            )?;
        }
        let Some(ours) = loadbalancers else { return Ok(()) };
        for (name, theirs) in [("lifted", deployments), ("default", deployments_at_default_limits)] {
            let Some(theirs) = theirs else { continue };
            let ratio = ours.status_ready_seconds.median / theirs.status_ready_seconds.median;
            writeln!(f, "  LoadBalancers take {ratio:.2} times what Deployments take with {name} limits")?;
        }
        Ok(())
    }
}

impl fmt::Display for RoundRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, controllers_beside_operator, controllers } = self;
        writeln!(f, "Requests of the last round, by the audit log")?;
        line(f, "operator, LoadBalancers", &list(operator))?;
        line(f, "controllers meanwhile", &list(controllers_beside_operator))?;
        line(f, "controllers, Deployments", &list(controllers))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, settled_first, settled_last, later, peak } = self;
        let mebibytes = |kibibytes: &u64| format!("{:.1} MiB", approximate(*kibibytes) / 1024.0);
        writeln!(f, "The operator's memory (VmRSS, VmHWM)")?;
        line(f, "before", &mebibytes(before))?;
        line(f, "all settled, first round", &mebibytes(settled_first))?;
        line(f, "all settled, last round", &mebibytes(settled_last))?;
        line(f, "after the settled time", &mebibytes(later))?;
        line(f, "peak", &mebibytes(peak))
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settled, settled_seconds, settled_cpu_seconds, cut, .. } = self;
        let Self { lease, writes, reads, watches, relists, sum, .. } = self;
        writeln!(f, "Requests of a settled hour")?;
        line(f, &format!("measured in {settled_seconds:.0} s"), &list(settled))?;
        line(f, "computed meanwhile", &format!("{settled_cpu_seconds:.2} s"))?;
        line(f, "measured after a cut", &list(cut))?;
        let times = 3600.0 / settled_seconds;
        line(f, "the Lease", &format!("{lease:.0} (measured, times {times:.0})"))?;
        line(f, "writes", &format!("{writes:.0} (measured, times {times:.0})"))?;
        line(f, "reads", &format!("{reads:.0} (measured, times {times:.0})"))?;
        line(f, "watches begun anew", &format!("{watches:.0} (which: measured; 3600 s over what each says it lives)"))?;
        line(f, "lists for them", &format!("{relists:.0} (measured after a cut, times 3600 s over 60 s: at most)"))?;
        line(f, "sum", &format!("{sum:.0} an hour"))
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unready, ready_again, deleted, successor_ready, all, between_questions, own, own_busy } = self;
        writeln!(f, "From the news of a pod to the route that has it, in milliseconds: p50, p99 (most; events)")?;
        let rows = [
            ("unready", unready),
            ("ready again", ready_again),
            ("deleted", deleted),
            ("successor ready", successor_ready),
            ("all, seen from outside", all),
        ];
        for (name, summary) in rows {
            let Summary { count, median, p99, most, .. } = summary;
            let [median, p99, most] = [median, p99, most].map(|seconds| seconds * 1e3);
            line(f, name, &format!("{median:.1}, {p99:.1} ({most:.1}; {count})"))?;
        }
        let resolution = between_questions.median * 1e3;
        line(f, "", &format!("asked of the admin API every {resolution:.1} ms: no figure above is finer than that"))?;
        let bucket = |(above, to): (f64, f64)| format!("{:.1} – {:.1}", above * 1e3, to * 1e3);
        for (name, own) in [("by the operator's histogram", own), ("the same in the last round", own_busy)] {
            let Own { count, median, p99 } = own;
            line(f, name, &format!("p50 {}, p99 {} ({count} looks)", bucket(*median), bucket(*p99)))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<30}{value}")
}

fn spread(summary: &Summary) -> String {
    let Summary { count, median, least, most, .. } = summary;
    format!("{median:.1} ({least:.1} – {most:.1}, {count})")
}

/// The most frequent first.
fn list(counts: &Counts) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), *what));
    let sum: usize = counts.values().sum();
    let named = sorted.iter().take(NAMED).map(|(what, count)| format!("{count} {what}"));
    let rest: usize = sorted.iter().skip(NAMED).map(|(_, count)| **count).sum();
    let rest = (rest > 0).then(|| format!("{rest} others"));
    format!("{sum}: {}", named.chain(rest).collect::<Vec<_>>().join(", "))
}

/// Exact for every memory that there is.
fn approximate(kibibytes: u64) -> f64 {
    u32::try_from(kibibytes).map_or(f64::INFINITY, f64::from)
}
