//! `api GROUP VERB`: every operation of the provider's API, made from the same catalogue as the typed client.

mod arguments;
mod output;
mod special;

pub(super) use arguments::ApiCommand;
pub(super) use output::printable;

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::{Map, Value, json as object};

use crate::app;
use crate::config::{AccountConfig, Config, Settings, Sources};
use crate::journal::ErrorChain;
use crate::provider::{ApiError, Disposition, Effect, Operation, Provider};

use super::failure::Failure;
use super::terminal::{bar_line, json, note, say};
use arguments::Options;

/// Performs one operation and prints the answer.
pub(super) async fn run(command: ApiCommand) -> Result<(), Failure> {
    let ApiCommand {
        operation,
        request,
        options,
    } = command;
    special::check(operation, &request, &options)?;
    let octets = request.to_string().len();
    let octets_max = if operation.path.starts_with("/email") {
        MAIL_OCTETS_MAX
    } else {
        REQUEST_OCTETS_MAX
    };
    if octets > octets_max {
        let words = format!("the request has {octets} octets, the provider takes {octets_max}");
        return Err(Failure::new(words).hint("split it into several calls"));
    }
    if options.dry_run {
        return dry_run(operation, request, &options);
    }
    let provider = provider(&options)?;
    if operation.effect == Effect::Destroy && !options.yes {
        confirm(operation, &request)?;
    }
    let mut data = if options.all {
        every_page(&provider, operation, request).await?
    } else {
        perform(&provider, operation, &request).await?
    };
    if special::answered(operation, &data, &options).await? {
        return Ok(());
    }
    if !options.show_secrets {
        special::hide(operation, &mut data);
        output::mask(&mut data);
    }
    let plain = options.json || !(options.table || std::io::stdout().is_terminal());
    if plain {
        json(&data)?;
    } else {
        let width = terminal_width().filter(|_| !options.table);
        say(&output::readable(&data, operation.group == "stats", width))?;
    }
    special::verdict(operation, &data)
}

/// Columns; `None` where no terminal reads.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

fn provider(options: &Options) -> Result<Provider, Failure> {
    let config = config(options)?;
    app::provider(&config, account(&config, options)?).map_err(|error| Failure::of(&error))
}

/// Where a call would go. A dry run needs no key, and so no settings that are complete.
fn base_url(options: &Options) -> Result<String, Failure> {
    let settings = Settings::load(&Sources::from_process(options.config.clone()))?;
    match Config::resolve(&settings) {
        Ok(config) => Ok(account(&config, options)?.api_url.clone()),
        Err(_) => Ok(String::new()),
    }
}

fn config(options: &Options) -> Result<Config, Failure> {
    let settings = Settings::load(&Sources::from_process(options.config.clone()))?;
    Ok(Config::resolve(&settings)?)
}

fn account<'a>(config: &'a Config, options: &Options) -> Result<&'a AccountConfig, Failure> {
    let name = &options.account;
    config.accounts.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.accounts.keys().map(String::as_str).collect();
        let hint = format!("accounts in the settings: {}", known.join(", "));
        Failure::new(format!("there is no account {name:?}")).hint(hint)
    })
}

/// One call, and once more where that does no harm.
async fn perform(
    provider: &Provider,
    operation: &Operation,
    request: &Value,
) -> Result<Value, Failure> {
    let mut tries = 0;
    loop {
        let error = match provider.perform(operation, request).await {
            Ok((data, _)) => return Ok(data),
            Err(error) => error,
        };
        tries += 1;
        let passing = matches!(
            error.disposition(),
            Disposition::Defer | Disposition::Unknown
        );
        if operation.effect != Effect::Read || !passing || tries == TRIES_MAX {
            return Err(failed(operation, &error, request));
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// What to do about an error, in words.
fn failed(operation: &Operation, error: &ApiError, request: &Value) -> Failure {
    let denied = matches!(error, ApiError::Refused(refusal)
        if refusal.error_code.as_deref().is_some_and(|code| code.ends_with("PERMISSION_DENIED")));
    let path = operation.path;
    let hint = match error.disposition() {
        Disposition::Halt if denied => {
            format!("give the key permission for {path}, or use one that has it")
        }
        Disposition::Halt | Disposition::Suspect => {
            "check the API key, its permissions and the IP allow list of the API; and api_url"
                .to_owned()
        }
        Disposition::Quota => "the account's quota is used up: see `api stats cycle`".to_owned(),
        Disposition::Throttle(Some(wait)) => {
            format!("too many calls: try again in {} s", wait.as_secs())
        }
        Disposition::Throttle(None) => "too many calls: try again in a minute or more".to_owned(),
        Disposition::Bounce => {
            format!(
                "mend the request: `api {} {} --help`",
                operation.group, operation.verb
            )
        }
        Disposition::Unknown if operation.effect == Effect::Read => "try again later".to_owned(),
        Disposition::Unknown => {
            "it may have been done all the same: look before you repeat it".to_owned()
        }
        Disposition::Defer => "nothing was done: try again later".to_owned(),
    };
    let mut words = output::without_secrets(&ErrorChain(error).to_string());
    for secret in output::secrets_of(request) {
        if !secret.is_empty() {
            words = words.replace(&secret, "********");
        }
    }
    Failure::new(words).hint(hint)
}

/// Follows the paging to its end; the lists of all answers become one.
async fn every_page(
    provider: &Provider,
    operation: &Operation,
    mut request: Value,
) -> Result<Value, Failure> {
    let Some(paging) = operation.paging() else {
        return perform(provider, operation, &request).await;
    };
    let mut whole = Value::Null;
    let first = request["page"].as_u64().unwrap_or(1);
    for page in first..first.saturating_add(PAGES_MAX) {
        let data = patiently(provider, operation, &request).await?;
        let token = data[CONTINUE_TOKEN].as_str().unwrap_or_default().to_owned();
        let added = output::join(&mut whole, data);
        progress(&whole);
        let more = match paging {
            CONTINUE_TOKEN => !token.is_empty(),
            _ => added > 0,
        };
        if !more || added == 0 {
            break;
        }
        if paging == CONTINUE_TOKEN && request[CONTINUE_TOKEN] == token.as_str() {
            let words = "the provider gives the same continue_token again and again";
            return Err(Failure::new(words).hint("leave out --all, and page with --continue_token"));
        }
        request[paging] = if paging == CONTINUE_TOKEN {
            object!(token)
        } else {
            object!(page + 1)
        };
    }
    if std::io::stderr().is_terminal() {
        note("\n");
    }
    if let Value::Object(members) = &mut whole {
        members.remove(CONTINUE_TOKEN);
    }
    Ok(whole)
}

/// Follows the provider's wish to slow down: pages already fetched would be lost with an error.
async fn patiently(
    provider: &Provider,
    operation: &Operation,
    request: &Value,
) -> Result<Value, Failure> {
    for _ in 0..THROTTLES_MAX {
        match provider.perform(operation, request).await {
            Err(error) if matches!(error.disposition(), Disposition::Throttle(_)) => {
                let Disposition::Throttle(wait) = error.disposition() else {
                    break;
                };
                let wait = wait.unwrap_or(THROTTLE_PAUSE).min(THROTTLE_PAUSE * 5);
                note(&format!(
                    "\ntoo many calls: going on in {} s\n",
                    wait.as_secs()
                ));
                tokio::time::sleep(wait).await;
            }
            Ok((data, _)) => return Ok(data),
            Err(_) => break,
        }
    }
    perform(provider, operation, request).await
}

fn progress(whole: &Value) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let (seen, total) = output::progress(whole);
    match total.filter(|total| *total >= seen && *total > 0) {
        Some(total) => {
            let done = seen * BAR_WIDTH / total;
            let (bar, rest) = ("#".repeat(done), "-".repeat(BAR_WIDTH - done));
            bar_line(&format!("[{bar}{rest}] {seen} of {total}"));
        }
        None => bar_line(&format!("{seen} so far")),
    }
}

fn confirm(operation: &Operation, request: &Value) -> Result<(), Failure> {
    let what = format!("{} {}", operation.group, operation.verb);
    if !std::io::stdin().is_terminal() {
        let words = format!("`{what}` takes something away, and nobody can be asked");
        return Err(Failure::new(words).hint("add --yes to do it without asking"));
    }
    let mut shown = request.clone();
    output::mask(&mut shown);
    note(&format!("{what} {shown}\nReally? [y/N] "));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read.map(|_| answer.trim().to_ascii_lowercase()) {
        Ok(answer) if answer == "y" || answer == "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}

/// The request as it would leave, the key masked.
fn dry_run(operation: &Operation, request: Value, options: &Options) -> Result<(), Failure> {
    let mut shown = request;
    if !options.show_secrets {
        special::hide(operation, &mut shown);
        output::mask(&mut shown);
    }
    say(&format!(
        "{} {}{}\nX-Smtp2go-Api-Key: ********\n\n",
        operation.method.word(),
        base_url(options)?,
        operation.path
    ))?;
    json(&shown)
}

/// An empty request.
fn nothing() -> Value {
    Value::Object(Map::new())
}

const CONTINUE_TOKEN: &str = "continue_token";
/// What the provider takes at most (provider-api 5).
const MAIL_OCTETS_MAX: usize = 50_000_000;
const REQUEST_OCTETS_MAX: usize = 1_000_000;
const TRIES_MAX: u32 = 3;
/// A minute is what the vendor shuts callers out for (provider-api 4).
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);
const THROTTLES_MAX: u32 = 10;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// More pages than any account has; a token that never ends must end here.
const PAGES_MAX: u64 = 10_000;
const BAR_WIDTH: usize = 30;
