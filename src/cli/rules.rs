//! `why`, `rules` and `refusals`: which rules are in force, and what they decide.

use std::fmt::Write as _;

use serde_json::{Value, json as object};

use crate::admin::WhyQuestion;
use crate::intake::RefusalRecord;
use crate::policy::Explained;
use crate::rules::{Explanation, SectionName};
use crate::sync::{SectionDiff, SectionState, SectionStatus};

use super::api::printable;
use super::arguments::{
    RefusalsOptions, RulesOptions, RulesShowOptions, RulesSyncOptions, WhyOptions,
};
use super::failure::Failure;
use super::queue::cut;
use super::remote::Remote;
use super::terminal::{json, note, say};

/// Exit code 1 where it would be refused, as for everything that is not done.
pub(super) async fn why(options: WhyOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    let question = WhyQuestion {
        from_ip: Some(options.from_ip),
        listener: options.listener,
        user: options.user,
        tls: options.tls,
        mail_from: options.mail_from,
        header_from: options.header_from,
        rcpt: options.rcpt,
    };
    let explained: Explained = remote.ask("/api/why", &question).await?;
    if options.json {
        json(&explained)?;
        return verdict(&explained);
    }
    let mut text = String::new();
    let decision = if explained.accepted {
        "accepted"
    } else {
        "refused"
    };
    let _ = writeln!(text, "{decision}: {}", printable(&explained.reply));
    for (name, value) in [
        ("account", &explained.account),
        ("device", &explained.device),
        ("sender", &explained.sender_action),
        ("hint", &explained.hint),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<8} {}", printable(value));
        }
    }
    let _ = writeln!(text);
    steps(&mut text, &explained.rules);
    say(&text)?;
    verdict(&explained)
}

fn verdict(explained: &Explained) -> Result<(), Failure> {
    match explained.accepted {
        true => Ok(()),
        false => Err(Failure::new("it would be refused")),
    }
}

fn steps(text: &mut String, rules: &Explanation) {
    for step in &rules.0 {
        let age = step.age.map(|age| format!(", {} old", duration(age)));
        let subject = match step.subject.as_str() {
            "" => String::new(),
            subject => format!(" {subject}"),
        };
        let line = format!(
            "  {:<9} {:<12} {}{subject}: {}{}",
            step.stage,
            step.says.word(),
            step.source,
            step.value,
            age.unwrap_or_default()
        );
        let _ = writeln!(text, "{}", printable(&line));
    }
}

/// Such as `3m 20s`.
fn duration(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

pub(super) async fn show(options: RulesShowOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.rules.remote)?;
    let Some(section) = options.section else {
        let sections: Vec<SectionStatus> = remote.get("/api/rules").await?;
        return statuses(&sections, options.rules.json);
    };
    let (account, section) = section.split_once('/').unwrap_or(("default", &section));
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let Ok(section) = section.parse::<SectionName>() else {
        let known: Vec<&str> = SectionName::ALL.iter().map(|name| name.word()).collect();
        return Err(Failure::new(format!("there is no section {section:?}"))
            .hint(format!("there are: {}", known.join(", "))));
    };
    if account.is_empty() || account.starts_with('.') || !account.chars().all(plain) {
        return Err(Failure::new(format!("there is no account {account:?}")));
    }
    let path = format!("/api/rules/{account}/{section}");
    let entries: Vec<(String, String)> = remote.get(&path).await?;
    if options.rules.json {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(entry, about)| object!({ "entry": entry, "about": about }))
            .collect();
        return json(&entries);
    }
    let width = entries.iter().map(|(entry, _)| entry.len()).max();
    let width = width.unwrap_or(0).min(ENTRY_WIDTH_MAX);
    let mut text = String::new();
    for (entry, about) in &entries {
        let line = format!("{:<width$}  {}", printable(entry), printable(about));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    say(&text)?;
    if entries.is_empty() {
        note("no entries\n");
    }
    Ok(())
}

pub(super) async fn sync(options: RulesSyncOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.rules.remote)?;
    let path = format!("/api/rules/sync?accept={}", options.accept);
    note("asking the provider …\n");
    let sections: Vec<SectionStatus> = remote.ask(&path, &object!({})).await?;
    statuses(&sections, options.rules.json)?;
    let failed = sections
        .iter()
        .filter(|section| section.state != SectionState::Fresh);
    match failed.count() {
        0 => Ok(()),
        count => Err(Failure::new(match count {
            1 => "1 section could not be refreshed".to_owned(),
            count => format!("{count} sections could not be refreshed"),
        })
        .hint("what was known of them stays in force; the line below each says why")),
    }
}

fn statuses(sections: &[SectionStatus], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return json(&sections);
    }
    if sections.is_empty() {
        note("rules are not fetched: sync.enabled is false\n");
        return Ok(());
    }
    let mut text = format!(
        "{:<12} {:<19} {:<15} {:>8} {:<13} {:<12}\n",
        "ACCOUNT", "SECTION", "STATE", "ENTRIES", "SETTING", "AGE"
    );
    for section in sections {
        let age = section.age.map_or_else(|| "never".to_owned(), duration);
        let stale = if section.stale { " STALE" } else { "" };
        let line = format!(
            "{:<12} {:<19} {:<15} {:>8} {:<13} {age}{stale}",
            section.account,
            section.section.word(),
            section.state.word(),
            section.entries,
            section.setting
        );
        let _ = writeln!(text, "{}", line.trim_end());
        if !section.trouble.is_empty() {
            let _ = writeln!(text, "{:13}{}", "", printable(&section.trouble));
        }
        if section.odd > 0 {
            let first = section.odd_entries.join("; ");
            let _ = writeln!(
                text,
                "{:13}{} not understood and skipped: {}",
                "",
                section.odd,
                printable(&first)
            );
        }
    }
    say(&text)
}

pub(super) async fn diff(options: RulesOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    note("asking the provider …\n");
    let sections: Vec<SectionDiff> = remote.ask("/api/rules/diff", &object!({})).await?;
    if options.json {
        return json(&sections);
    }
    let mut text = String::new();
    for section in &sections {
        let name = format!("{}/{}", section.account, section.section);
        if !section.trouble.is_empty() {
            let trouble = printable(&section.trouble);
            note(&format!("{name}: not fetched: {trouble}\n"));
        }
        if let Some((before, after)) = &section.setting {
            let _ = writeln!(text, "{name}: {before} -> {after}");
        }
        for entry in &section.entries {
            let about = |about: &Option<String>| match about.as_deref() {
                None | Some("") => String::new(),
                Some(about) => format!(" ({})", printable(about)),
            };
            let (mark, words) = match (&entry.before, &entry.after) {
                (Some(_), None) => ('-', about(&entry.before)),
                (None, _) => ('+', about(&entry.after)),
                _ => (
                    '~',
                    format!("{} ->{}", about(&entry.before), about(&entry.after)),
                ),
            };
            let _ = writeln!(text, "{mark} {name} {}{words}", printable(&entry.entry));
        }
        if section.more > 0 {
            let _ = writeln!(text, "  {name}: and {} more", section.more);
        }
    }
    let missed = sections
        .iter()
        .filter(|section| !section.trouble.is_empty())
        .count();
    if text.is_empty() && missed == 0 {
        note("no differences\n");
    }
    say(&text)?;
    match missed {
        0 => Ok(()),
        1 => Err(Failure::new("1 section could not be compared")),
        missed => Err(Failure::new(format!(
            "{missed} sections could not be compared"
        ))),
    }
}

pub(super) async fn refusals(options: RefusalsOptions) -> Result<(), Failure> {
    let remote = Remote::new(options.remote)?;
    // One more than is shown: whether there are more is worth a word.
    let path = format!("/api/refusals?limit={}", options.limit.saturating_add(1));
    let mut records: Vec<RefusalRecord> = remote.get(&path).await?;
    let more = cut(&mut records, options.limit);
    if more {
        let shown = records.len();
        note(&format!(
            "older refusals are not shown: --limit {shown} hides them\n"
        ));
    }
    if options.json {
        return json(&records);
    }
    let mut text = String::new();
    for record in &records {
        let who = record.identity.as_deref().map(|who| format!(" as {who}"));
        let line = format!(
            "{}  session {}  {} on {}{}  {}: {}",
            record.at,
            record.session,
            record.peer,
            record.listener,
            who.unwrap_or_default(),
            record.stage,
            record.reply
        );
        let _ = writeln!(
            text,
            "{}\n  hint      {}",
            printable(&line),
            printable(&record.hint)
        );
        steps(&mut text, &record.rules);
    }
    if records.is_empty() && !more {
        note("nothing was refused\n");
    }
    say(&text)
}

const ENTRY_WIDTH_MAX: usize = 60;
