//! `queue` and `trace`: what is stored, and what happened to it.

use crate::clock::Clock;
use crate::mail::SpoolId;
use crate::spool::{MessageRecord, QueueRow};

use super::arguments::{ExportOptions, ListOptions, MessageOptions, OrderOptions, RemoteOptions};
use super::failure::Failure;
use super::remote::Remote;
use super::show;
use super::terminal::{json, note, octets, say};

pub(super) async fn list(options: ListOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    // One more than is shown: whether there are more is worth a word.
    let asked = options.limit.saturating_add(1);
    let mut path = format!("/api/queue?all={}&limit={asked}", options.all);
    if let Some(before) = options.before {
        path.push_str(&format!("&before={before}"));
    }
    let mut rows: Vec<QueueRow> = remote.get(&path).await?;
    let more = cut(&mut rows, options.limit);
    if options.json {
        json(&rows)?;
    } else {
        say(&show::queue(&rows))?;
    }
    if more {
        note("there are older ones: see --limit and --before\n");
    } else if rows.is_empty() && !options.json {
        note(if options.all {
            "no messages\n"
        } else {
            "nothing waits\n"
        });
    }
    Ok(())
}

pub(super) async fn show(options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(options.remote, &options.id).await?;
    if options.json {
        return json(&record);
    }
    say(&show::message(&record, Clock.wall()))
}

pub(super) async fn trace(options: MessageOptions) -> Result<(), Failure> {
    let record = fetch(options.remote, &options.id).await?;
    if options.json {
        return json(&record);
    }
    say(&show::trace(&record, Clock.wall()))
}

/// Orders all messages in turn; the first that can't be ordered ends it.
pub(super) async fn order(order: &str, options: OrderOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    for id in options.ids {
        remote.post(&format!("/api/queue/{id}/{order}")).await?;
        say(&format!("{id}\n"))?;
    }
    Ok(())
}

/// The stored message, octet by octet.
pub(super) async fn export(options: ExportOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    let raw = remote
        .raw(&format!("/api/queue/{}/raw", options.id))
        .await?;
    octets(&raw)
}

async fn fetch(remote: RemoteOptions, id: &SpoolId) -> Result<MessageRecord, Failure> {
    let remote = Remote::new(remote)?;
    remote.get(&format!("/api/trace/{id}")).await
}

/// Leaves as many as were asked for; returns whether there were more.
pub(super) fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}
