//! Several clients at once on every side of every case, round by round; prints a Markdown table.

#![allow(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

use std::process::ExitCode;
use std::time::Duration;

use benches::cases;
use benches::load::open_loop::{self, Pace, Run};
use benches::load::table::{Measured, table};
use benches::load::usage::{self, Usage};
use benches::load::{Plan, servers};
use clap::Parser;

const AFTER: &str = "\
The sides of a case take turns, A B A B .., each round in a fresh database or under a fresh prefix. A rate is the median of
its rounds; a ratio is the median of the quotients within a round, by the first side of the case. `cpu` is processor time of
this program and the servers for each unit of the rate; `others` the greatest share of all processors that was used in a round
by neither; `backlog` the share of the round after the last turn, until the background had done its part: it counts in the rate.
Needs REDIS_URL, POSTGRES_URL, MYSQL_URL and AMQP_URL: `cargo xtask load` starts the servers and sets them.";

/// Measure throughput and latency under load, beside the bare drivers
#[derive(Debug, Parser)]
#[command(name = "load", after_help = AFTER)]
struct Args {
    /// Only cases whose name has one of these in it [default: all]
    names: Vec<String>,
    /// Clients at once, each on a connection of its own; several numbers (1,8,32) run each case with each
    #[arg(long, value_delimiter = ',', default_value = "8", value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: Vec<u32>,
    /// Rounds of each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=31))]
    rounds: u32,
    /// Seconds that a round is measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Milliseconds that a side works before it is measured
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    warm_up: u64,
    /// What random choices begin from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead of all that: 16 producers with 1,000 messages a second in all for this many seconds, and how long each message
    /// took from its commit on until a broker in memory, and RabbitMQ, had acknowledged it; on PostgreSQL
    #[arg(long, value_name = "SECONDS", conflicts_with = "names", value_parser = clap::value_parser!(u64).range(1..=60))]
    open_loop: Option<u64>,
    /// Print the names of the cases and their sides, and measure nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seconds) = args.open_loop {
        benches::runtime().block_on(keep_pace(Duration::from_secs(seconds)));
        return ExitCode::SUCCESS;
    }
    let mut cases = cases::all();
    cases.retain(|case| args.names.is_empty() || args.names.iter().any(|name| case.name.contains(name.as_str())));
    if cases.is_empty() {
        eprintln!("error: no case has a name like that; see --list");
        return ExitCode::FAILURE;
    }
    if args.list {
        for case in &cases {
            let sides: Vec<_> = case.sides.iter().map(|side| side.name).collect();
            println!("{}: {}", case.name, sides.join(" | "));
        }
        return ExitCode::SUCCESS;
    }
    benches::runtime().block_on(async {
        let listeners = usage::listeners(&servers::ports());
        let plan = |clients| Plan {
            clients,
            rounds: args.rounds as usize,
            measured: Duration::from_secs(args.seconds),
            warm_up: Duration::from_millis(args.warm_up),
            seed: args.seed,
            servers: listeners.clone(),
        };
        let described = servers::described().await;
        let before = load_average();
        let (mut measured, mut failed): (Vec<Measured>, _) = (Vec::new(), false);
        for case in &cases {
            let mut numbers: Vec<_> = args.clients.iter().map(|wanted| case.clients(*wanted as usize)).collect();
            numbers.dedup();
            for clients in numbers {
                match plan(clients).run(case, |line| eprintln!("{line}")).await {
                    Ok(of) => measured.push(of),
                    Err(error) => {
                        eprintln!("error: {error}");
                        failed = true;
                    }
                }
            }
        }
        println!("- {} rounds of {} s after {} ms, seed {}", args.rounds, args.seconds, args.warm_up, args.seed);
        println!("- {} processors; load average {before} before, {} after", processors(), load_average());
        for server in described {
            println!("- {server}");
        }
        println!("\n{}", table(&measured));
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

async fn keep_pace(span: Duration) {
    let listeners = usage::listeners(&servers::ports());
    let pace = Pace { producers: 16, per_second: 1_000, span };
    let before = load_average();
    let mut runs = Vec::new();
    for broker in ["memory", "RabbitMQ"] {
        let started = Usage::now(&listeners);
        let sent = match broker {
            "memory" => cases::reliable_mq::open_loop::memory(pace).await,
            _ => cases::reliable_mq::open_loop::rabbitmq(pace).await,
        };
        let others = started.zip(Usage::now(&listeners)).map(|(before, after)| before.others(after));
        runs.push(Run { broker, sent, others });
    }
    println!("- {} producers, {} messages a second in all, for {} s", pace.producers, pace.per_second, span.as_secs());
    println!("- {} processors; load average {before} before, {} after", processors(), load_average());
    for server in servers::described().await {
        println!("- {server}");
    }
    println!("\n{}", open_loop::table(&runs));
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, Into::into)
}

/// Of the last minute, five and fifteen; this program's own work counts there.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<_> = text.split(' ').take(3).collect();
    if words.len() == 3 { words.join(" ") } else { "unknown".to_owned() }
}
