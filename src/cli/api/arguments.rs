//! Flags made from the catalogue: one a field, named as in the API.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, Subcommand};
use serde_json::{Value, json};

use crate::provider::{Confidence, Effect, Field, Kind, Operation, operations};

/// One operation, with what was typed.
#[derive(Clone, Debug)]
pub(in super::super) struct ApiCommand {
    pub(super) operation: &'static Operation,
    pub(super) request: Value,
    pub(super) options: Options,
}

/// What all operations take.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) account: String,
    pub(super) all: bool,
    pub(super) json: bool,
    pub(super) table: bool,
    pub(super) yes: bool,
    pub(super) dry_run: bool,
    pub(super) show_secrets: bool,
    pub(super) out: Option<PathBuf>,
}

impl Subcommand for ApiCommand {
    fn augment_subcommands(mut command: Command) -> Command {
        command = command
            .subcommand_required(true)
            .arg_required_else_help(true);
        let mut groups: Vec<&'static str> = Vec::new();
        for operation in operations() {
            if !groups.contains(&operation.group) {
                groups.push(operation.group);
            }
        }
        for name in groups {
            let mut group = Command::new(name)
                .about(group_about(name))
                .subcommand_required(true)
                .arg_required_else_help(true);
            for operation in operations()
                .iter()
                .filter(|operation| operation.group == name)
            {
                group = group.subcommand(verb(operation));
            }
            command = command.subcommand(group);
        }
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        operations().iter().any(|operation| operation.group == name)
    }
}

impl FromArgMatches for ApiCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let missing = || Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (group, matches) = matches.subcommand().ok_or_else(missing)?;
        let (verb, matches) = matches.subcommand().ok_or_else(missing)?;
        let operation = operations()
            .iter()
            .find(|operation| operation.group == group && operation.verb == verb)
            .ok_or_else(missing)?;
        let path = |name: &str| matches.try_get_one::<PathBuf>(name).ok().flatten().cloned();
        let flag =
            |name: &str| matches.try_get_one::<bool>(name).ok().flatten().copied() == Some(true);
        Ok(Self {
            operation,
            request: request(operation, matches)?,
            options: Options {
                config: path("config"),
                account: matches
                    .get_one::<String>("account")
                    .cloned()
                    .unwrap_or_default(),
                all: flag("all"),
                json: flag("json"),
                table: flag("table"),
                yes: flag("yes"),
                dry_run: flag("dry-run"),
                show_secrets: flag("show-secrets"),
                out: path("out"),
            },
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn group_about(name: &str) -> &'static str {
    match name {
        "email" => "Send mail; look at and cancel mail that is scheduled",
        "activity" => "Search what became of mails",
        "allowed-senders" => "Which senders the account allows",
        "allowed-recipients" => "Which recipients the account allows",
        "users" => "Users of the SMTP service",
        "domain" => "Domains that may be sent from, and their DNS records",
        "single-senders" => "Single addresses that may be sent from",
        "stats" => "Counts of mails",
        "archive" => "Copies of sent mails",
        "subaccount" => "Accounts below this one",
        "suppression" => "Addresses that get no mail",
        "ip-allow-list" => "Addresses that may use SMTP or the API",
        "ip-auth" => "Addresses that need no credential",
        "dedicated-ips" => "The account's own addresses",
        "template" => "Mails with blanks to fill in",
        "webhook" => "Where events are posted",
        "api-keys" => "Keys of the API and what they may do",
        "sms" => "Short messages",
        _ => "",
    }
}

fn verb(operation: &'static Operation) -> Command {
    let about = operation.about.lines().next().unwrap_or_default().trim();
    let source = match operation.confidence {
        Confidence::VendorDocs => "as documented by the vendor",
        Confidence::ThirdParty => "as reported by others",
        Confidence::Inferred => "inferred, not documented",
    };
    let mut command = Command::new(operation.verb)
        .about(about.trim_end_matches('.').to_owned())
        .after_help(format!(
            "{} {} ({source})",
            operation.method.word(),
            operation.path
        ));
    for field in operation.fields {
        command = command.arg(flag(field));
    }
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
            .help_heading(COMMON)
    };
    command = command
        .arg(
            Arg::new("body")
                .long("body")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(
                    "Take the whole request from this file, - for standard input; flags go on top",
                )
                .help_heading(COMMON),
        )
        .arg(switch("json", "Print JSON even on a terminal").conflicts_with("table"))
        .arg(switch(
            "table",
            "Print tables even where no terminal reads them",
        ))
        .arg(switch("dry-run", "Print the request instead of sending it"))
        .arg(switch("show-secrets", "Print passwords and keys in clear"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Settings file; SMTP2GO_API_KEY alone will do")
                .help_heading(COMMON),
        )
        .arg(
            Arg::new("account")
                .long("account")
                .value_name("NAME")
                .default_value("default")
                .help("Whose key to use")
                .help_heading(COMMON),
        );
    if operation.paging().is_some() {
        command = command.arg(switch("all", "Follow the paging to its end"));
    }
    if operation.effect == Effect::Destroy {
        command = command.arg(switch("yes", "Don't ask"));
    }
    if operation.path == "/archive/email" {
        command = command.arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where to save the mail [default: EMAIL_ID.eml]")
                .help_heading(COMMON),
        );
    }
    command
}

fn flag(field: &'static Field) -> Arg {
    let lines: Vec<&str> = field.about.lines().map(str::trim).collect();
    let help = lines.join(" ").replace('`', "").replace("\\", "");
    let arg = Arg::new(field.name)
        .long(field.name)
        .alias(field.name.replace('_', "-"))
        .help(short_help(&help, field.required))
        .long_help(match field.required {
            true => format!("{} (required)", help.trim().trim_end_matches('.')),
            false => help.trim().trim_end_matches('.').to_owned(),
        });
    let arg = match field.kind {
        Kind::Text => arg.value_name("TEXT").allow_hyphen_values(true),
        Kind::Number => arg
            .value_name("N")
            .value_parser(clap::value_parser!(i64))
            .allow_negative_numbers(true),
        Kind::Flag => arg
            .value_name("true|false")
            .hide_possible_values(true)
            .value_parser(clap::value_parser!(bool))
            .num_args(0..=1)
            .default_missing_value("true"),
        Kind::Texts => arg
            .value_name("TEXT")
            .allow_hyphen_values(true)
            .action(ArgAction::Append),
        Kind::Json => arg.value_name("JSON").value_parser(read_json),
        Kind::Objects => arg
            .value_name("JSON")
            .action(ArgAction::Append)
            .value_parser(read_object),
    };
    if field.required {
        arg.required_unless_present("body")
    } else {
        arg
    }
}

/// What fits on a line, for `-h`; `--help` says the rest.
fn short_help(help: &str, required: bool) -> String {
    let sentence = |text: &str| {
        text.split(". ")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let clause = sentence(help).trim_end_matches('.').to_owned();
    let mut words: String = clause.chars().take(HELP_MAX).collect();
    if words.len() < clause.len() {
        let whole = words.rfind(' ').unwrap_or(words.len());
        words.truncate(whole);
        words.push('…');
    }
    if let Some((_, default)) = help.split_once("Default: ")
        && !words.contains("Default: ")
    {
        let default = sentence(default);
        words.push_str(&format!(" [default: {}]", default.trim_end_matches('.')));
    }
    if required {
        words.push_str(" (required)");
    }
    words
}

fn read_json(text: &str) -> Result<Value, String> {
    // A text that is no JSON is meant as a text.
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

fn read_object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(
            "a JSON object such as {\"header\":\"Reply-To\",\"value\":\"a@b.example\"}".to_owned(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

fn request(operation: &Operation, matches: &ArgMatches) -> Result<Value, Error> {
    let mut request = match matches.get_one::<PathBuf>("body") {
        None => super::nothing(),
        Some(path) => read_file(path)?,
    };
    for field in operation.fields {
        let name = field.name;
        let value = match field.kind {
            Kind::Text => matches.get_one::<String>(name).map(|text| json!(text)),
            Kind::Number => matches.get_one::<i64>(name).map(|number| json!(number)),
            Kind::Flag => matches.get_one::<bool>(name).map(|yes| json!(yes)),
            Kind::Texts => matches
                .get_many::<String>(name)
                .map(|texts| texts.map(|text| json!(text)).collect()),
            Kind::Json => matches.get_one::<Value>(name).cloned(),
            Kind::Objects => matches
                .get_many::<Value>(name)
                .map(|objects| objects.cloned().collect()),
        };
        if let Some(value) = value {
            request[name] = value;
        }
    }
    Ok(request)
}

fn read_file(path: &PathBuf) -> Result<Value, Error> {
    let wrong = |why: String| {
        let words = format!(
            "cannot use --body {}: {why}\nhint: a request is one JSON object; with flags instead of --body, --dry-run prints one\n",
            path.display()
        );
        Error::raw(clap::error::ErrorKind::ValueValidation, words)
    };
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| wrong(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(wrong("a JSON object is expected".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

const HELP_MAX: usize = 60;
const COMMON: &str = "Common options";
