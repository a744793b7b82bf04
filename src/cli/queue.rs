//! `queue` and `trace`: what is stored, and what happened to it.

use std::io::Write as _;

use serde::Serialize;

use crate::mail::SpoolId;
use crate::spool::{MessageRecord, QueueRow};

use super::arguments::{ExportOptions, ListOptions, MessageOptions, OrderOptions, RemoteOptions};
use super::failure::Failure;
use super::remote::Remote;
use super::show;

pub(super) async fn list(options: ListOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    let mut path = format!("/api/queue?all={}&limit={}", options.all, options.limit);
    if let Some(before) = options.before {
        path.push_str(&format!("&before={before}"));
    }
    let rows: Vec<QueueRow> = remote.get(&path).await?;
    if options.json {
        return print_json(&rows);
    }
    print!("{}", show::queue(&rows));
    if rows.is_empty() {
        eprintln!(
            "{}",
            if options.all {
                "no messages"
            } else {
                "nothing waits"
            }
        );
    }
    Ok(())
}

pub(super) async fn show(options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(options.remote, &options.id).await?;
    if options.json {
        return print_json(&record);
    }
    print!("{}", show::message(&record));
    Ok(())
}

pub(super) async fn trace(options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(options.remote, &options.id).await?;
    if options.json {
        return print_json(&record);
    }
    print!("{}", show::trace(&record));
    Ok(())
}

/// Orders all messages in turn; the first that can't be ordered ends it.
pub(super) async fn order(order: &str, options: OrderOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    for id in options.ids {
        remote.post(&format!("/api/queue/{id}/{order}")).await?;
        println!("{id}");
    }
    Ok(())
}

/// The stored message, octet by octet.
pub(super) async fn export(options: ExportOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    let raw = remote
        .raw(&format!("/api/queue/{}/raw", options.id))
        .await?;
    std::io::stdout()
        .write_all(&raw)
        .map_err(|error| Failure::of(&error))
}

async fn fetch(remote: RemoteOptions, id: &SpoolId) -> Result<MessageRecord, Failure> {
    let remote = Remote::new(remote)?;
    remote.get(&format!("/api/trace/{id}")).await
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::of(&error))?;
    println!("{text}");
    Ok(())
}
