//! `queue` and `trace`: what is stored, and what happened to it.

use std::path::PathBuf;

use serde::Serialize;

use crate::spool::{MessageRecord, QueueRow};

use super::arguments::{ListOptions, MessageOptions};
use super::failure::Failure;
use super::remote::Remote;
use super::show;

pub(super) async fn list(file: Option<PathBuf>, options: ListOptions) -> Result<(), Failure> {
    let remote = Remote::new(file, options.remote.admin)?;
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

pub(super) async fn show(file: Option<PathBuf>, options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(file, &options).await?;
    if options.json {
        return print_json(&record);
    }
    print!("{}", show::message(&record));
    Ok(())
}

pub(super) async fn trace(file: Option<PathBuf>, options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(file, &options).await?;
    if options.json {
        return print_json(&record);
    }
    print!("{}", show::trace(&record));
    Ok(())
}

async fn fetch(file: Option<PathBuf>, options: &MessageOptions) -> Result<MessageRecord, Failure> {
    let remote = Remote::new(file, options.remote.admin)?;
    remote.get(&format!("/api/trace/{}", options.id)).await
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::of(&error))?;
    println!("{text}");
    Ok(())
}
