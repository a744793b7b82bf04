//! The gateway under load: its own generator, its own processes, figures on standard output.
//!
//! `cargo bench --bench load -- SCENARIO…`; without a name all but `million` run.
//!
//! | scenario | measures |
//! | --- | --- |
//! | `accept` | messages a second until their 250, provider out of reach; CPU time a message |
//! | `forward` | messages a second until the simulator has them (plain HTTP) |
//! | `big` | memory with 50 messages of 35 MB at once, in and out |
//! | `idle` | memory with no and with 5,000 idle connections |
//! | `start` | time until it is ready, empty and with 100,000 messages waiting |
//! | `million` | `accept` with 1,000,000 messages waiting, and the memory then |

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, reads the clock, and has failed when it can't go on"
)]

mod process;
mod sender;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tempfile::TempDir;

use process::{Gateway, NOBODY, Simulator};
use sender::Load;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runs = |name: &str| {
        wanted.iter().any(|word| word == name) || (wanted.is_empty() && name != "million")
    };
    if runs("accept") {
        accept().await;
    }
    if runs("forward") {
        forward().await;
    }
    if runs("big") {
        big().await;
    }
    if runs("idle") {
        idle().await;
    }
    if runs("start") {
        start().await;
    }
    if runs("million") {
        million().await;
    }
}

const SMALL: Load = Load {
    clients: 20,
    messages: 20_000,
    octets: 4096,
    connect_each: false,
};

async fn accept() {
    let (_directory, gateway) = gateway(NOBODY).await;
    for connect_each in [true, false] {
        let load = Load {
            connect_each,
            ..SMALL
        };
        let kind = if connect_each { "new" } else { "kept" };
        measure_accept(&gateway, load, &format!("accept, {kind} connections")).await;
    }
    gateway.stop().await;
}

async fn measure_accept(gateway: &Gateway, load: Load, name: &str) -> f64 {
    let before = gateway.cpu();
    let took = load.send(gateway.smtp).await;
    let rate = rate(load.messages, took);
    let cpu = (gateway.cpu() - before) / u32::try_from(load.messages).unwrap();
    println!(
        "{name}: {rate:.0} messages/s, {} us of CPU each",
        cpu.as_micros()
    );
    rate
}

async fn forward() {
    let simulator = Simulator::start().await;
    let (_directory, gateway) = gateway(&simulator.api_url).await;
    let started = std::time::Instant::now();
    SMALL.send(gateway.smtp).await;
    gateway.accepted(SMALL.messages).await;
    let rate = rate(SMALL.messages, started.elapsed());
    let cpu = gateway.cpu() / u32::try_from(SMALL.messages).unwrap();
    println!(
        "end to end: {rate:.0} messages/s, {} us of CPU each",
        cpu.as_micros()
    );
    gateway.stop().await;
}

async fn big() {
    let simulator = Simulator::start().await;
    let (_directory, gateway) = gateway(&simulator.api_url).await;
    let idle = gateway.memory("VmRSS");
    let load = Load {
        clients: 50,
        messages: 50,
        octets: 35_000_000,
        connect_each: false,
    };
    let took = load.send(gateway.smtp).await;
    gateway.accepted(load.messages).await;
    let above = gateway.memory("VmHWM") - idle;
    println!(
        "50 x 35 MB at once: {:.1} MB above idle, accepted at {:.0} MB/s",
        megabytes(above),
        35.0 * rate(load.messages, took)
    );
    gateway.stop().await;
}

async fn idle() {
    let (_directory, gateway) = gateway(NOBODY).await;
    println!("idle: {:.1} MB", megabytes(gateway.memory("VmRSS")));
    let limit = Rlimit {
        current: Some(20_000),
        maximum: Some(20_000),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    gateway.stop().await;
    // It inherits the limit, too.
    let (_directory, gateway) = self::gateway(NOBODY).await;
    let mut connections = Vec::new();
    for _ in 0..5_000 {
        connections.push(sender::connect(gateway.smtp).await);
    }
    println!(
        "5,000 idle connections: {:.1} MB",
        megabytes(gateway.memory("VmRSS"))
    );
    drop(connections);
    gateway.stop().await;
}

async fn start() {
    let (directory, gateway) = gateway(NOBODY).await;
    let first = gateway.ready_after.as_millis();
    gateway.stop().await;
    let gateway = Gateway::start(directory.path(), NOBODY, QUIET).await;
    let again = gateway.ready_after.as_millis();
    println!(
        "ready, empty: {again} ms; the very first time, with a certificate to make: {first} ms"
    );
    let load = Load {
        messages: 100_000,
        ..SMALL
    };
    load.send(gateway.smtp).await;
    gateway.stop().await;
    let gateway = Gateway::start(directory.path(), NOBODY, QUIET).await;
    println!(
        "ready, 100,000 waiting: {} ms",
        gateway.ready_after.as_millis()
    );
    gateway.stop().await;
}

/// In turns, because the machine may be faster at one time than at another.
async fn million() {
    let (_full_directory, full) = gateway(NOBODY).await;
    let filling = Load {
        messages: 1_000_000,
        octets: 300,
        ..SMALL
    };
    filling.send(full.smtp).await;
    let (_empty_directory, empty) = gateway(NOBODY).await;
    let load = Load {
        messages: 5_000,
        ..SMALL
    };
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let without = rate(load.messages, load.send(empty.smtp).await);
        let with = rate(load.messages, load.send(full.smtp).await);
        // The first round only warms up.
        if round > 0 {
            ratios.push(with / without);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "accept with 1,000,000 waiting: {:.0} % of nearly empty (median of {ROUNDS} turns), {:.1} MB",
        100.0 * ratios[ROUNDS / 2],
        megabytes(full.memory("VmRSS"))
    );
    empty.stop().await;
    full.stop().await;
}

const ROUNDS: usize = 9;

/// Enough room, and no attempts beside the first ones.
const QUIET: &[(&str, &str)] = &[
    ("S2G__SPOOL__MAX_SIZE", "100000000000"),
    ("S2G__SPOOL__MAX_SIZE_PER_DEVICE", "100000000000"),
];

async fn gateway(api_url: &str) -> (TempDir, Gateway) {
    // Not below /tmp, which may lie in memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let gateway = Gateway::start(directory.path(), api_url, QUIET).await;
    (directory, gateway)
}

#[allow(clippy::cast_precision_loss, reason = "counts of messages")]
fn rate(messages: usize, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "megabytes for people")]
fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1000.0
}
