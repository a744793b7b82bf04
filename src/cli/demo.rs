//! `demo`: the product in one command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::{Demo, DemoSettings};
use crate::clock::Clock;
use crate::mail::SpoolId;
use crate::spool::MessageRecord;
use crate::telemetry;

use super::arguments::DemoOptions;
use super::failure::Failure;
use super::show;
use super::signals::Signals;
use super::terminal::{note, say};

/// Starts gateway and simulator, sends the sample scan, shows its trace.
pub(super) async fn demo(options: DemoOptions) -> Result<(), Failure> {
    telemetry::start_logging(telemetry::Format::Text, "info");
    let own_directory = match options.data_dir {
        Some(_) => None,
        None => Some(Scratch::new().map_err(|error| Failure::of(&error))?),
    };
    let data_dir = match (&options.data_dir, &own_directory) {
        (Some(directory), _) => directory.clone(),
        (None, Some(scratch)) => scratch.0.clone(),
        (None, None) => PathBuf::new(),
    };
    let settings = DemoSettings {
        smtp: options.smtp,
        admin: options.admin,
        api: options.api,
        data_dir,
    };
    let demo = Demo::start(&settings).await.map_err(|error| {
        Failure::of(&error).hint("--smtp, --admin and --api choose other addresses")
    })?;
    let shown = tell(&demo, options.once).await;
    demo.stop().await;
    shown
}

async fn tell(demo: &Demo, once: bool) -> Result<(), Failure> {
    // Before anybody is told that it runs: whoever knows may stop it.
    let mut signals = match once {
        true => None,
        false => Some(Signals::new(None)?),
    };
    let (smtp, api) = (demo.smtp(), demo.simulator.api_url());
    say(&format!(
        "smtp      {smtp}\nadmin     http://{}/\napi       {api}\napi key   {}\n\
         delivered http://{}/_deliveries\n",
        demo.gateway.admin(),
        demo.api_key(),
        demo.simulator.address()
    ))?;
    let id = demo
        .send_sample_scan()
        .await
        .map_err(|error| Failure::of(&error))?;
    let record = settled(demo, id).await?;
    let trace = show::trace(&record, Clock.wall());
    say(&format!("\nThe sample scan:\n\n{trace}"))?;
    if !record
        .dispatches
        .iter()
        .all(|dispatch| dispatch.state.word() == "accepted")
    {
        return Err(Failure::new("the sample scan was not delivered"));
    }
    say("\nWhat the provider delivered:\n\n")?;
    for delivery in demo.simulator.deliveries() {
        let recipients = delivery.recipients.join(", ");
        say(&format!("{}  {recipients}\n", delivery.email_id))?;
    }
    let Some(signals) = &mut signals else {
        return Ok(());
    };
    say(&format!(
        "\nPoint a device or a mail client at {smtp}; it may sign in as scanner with the password scan-2-mail. Try:\n\n\
         swaks --server {smtp} --auth-user scanner --auth-password scan-2-mail --from scanner@example.com --to \
         office@example.org\n\
         S2G__ACCOUNTS__DEFAULT__API_URL={api} SMTP2GO_API_KEY={} smtp2go-gateway api activity search\n\n\
         Ctrl-C ends the demo.\n",
        demo.api_key()
    ))?;
    signals.stop().await;
    Ok(())
}

/// Waits until every dispatch of the message is settled.
async fn settled(demo: &Demo, id: SpoolId) -> Result<MessageRecord, Failure> {
    let spool = demo.gateway.spool();
    let done = async {
        loop {
            match spool.show(id).await {
                Ok(Some(record)) if record.settled_at.is_some() => return Ok(record),
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(Failure::of(&error)),
            }
        }
    };
    tokio::time::timeout(PATIENCE, done)
        .await
        .map_err(|_| Failure::new("the sample scan was not delivered in time"))?
}

/// A directory that goes when the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let name = format!("smtp2go-gateway-demo-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        if let Err(error) = std::fs::remove_dir_all(path) {
            note(&format!(
                "error: cannot remove {}: {error}\n",
                path.display()
            ));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
