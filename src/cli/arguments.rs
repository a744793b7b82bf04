//! Commands and flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::mail::SpoolId;

use super::api::ApiCommand;

/// A mail gateway for devices that speak only SMTP: stores their mail, forwards it to SMTP2GO.
#[derive(Debug, Parser)]
#[command(name = "smtp2go-gateway", version, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C
    Run(ConfigOption),
    /// Try it: gateway and simulated provider on this machine, with a sample scan
    Demo(DemoOptions),
    /// Run the simulated provider alone
    Simulator(SimulatorOptions),
    /// Check the settings and print what is in force, secrets masked
    Check(ConfigOption),
    /// Look at the messages that are stored
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Print everything that happened to one message
    Trace(MessageOptions),
    /// Explain what would become of a message, rule by rule
    Why(WhyOptions),
    /// Look at the provider's rules that are in force
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Look for what is wrong: key, permissions, network, disk, rules
    Doctor(DoctorOptions),
    /// List what was refused, newest first, with the rules that took part
    Refusals(RefusalsOptions),
    /// Set up devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Call the provider's API: senders, users, domains, statistics and all the rest
    #[command(subcommand)]
    Api(ApiCommand),
    /// Print completions for a shell
    Completions(CompletionsOptions),
    /// Ask the running gateway whether it accepts mail; exits 0 if so
    Health(RemoteOptions),
}

#[derive(Args, Debug)]
pub(super) struct CompletionsOptions {
    /// Which shell
    pub(super) shell: Shell,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ConfigOption {
    /// Settings file; below it are the defaults, above it the environment (S2G__…, SMTP2GO_API_KEY)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct DemoOptions {
    /// Stop, with success, once the sample scan has been delivered
    #[arg(long)]
    pub(super) once: bool,
    /// Where to store messages [default: a new directory that is removed afterwards]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// SMTP address; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2525")]
    pub(super) smtp: SocketAddr,
    /// Admin address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(super) admin: SocketAddr,
    /// Address of the simulated provider
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(super) api: SocketAddr,
}

#[derive(Args, Debug)]
pub(super) struct SimulatorOptions {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub(super) bind: SocketAddr,
    /// The key that callers must present
    #[arg(
        long,
        value_name = "KEY",
        default_value = "api-SIMULATOR00000000000000000000000"
    )]
    pub(super) api_key: String,
    /// Serve HTTPS with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Keep what was delivered in this file, between runs
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List stored messages, newest first
    List(ListOptions),
    /// Print where one message stands
    Show(MessageOptions),
    /// Look at messages now instead of at their time
    Retry(OrderOptions),
    /// Keep messages from being sent
    Hold(OrderOptions),
    /// Send held messages now
    Release(OrderOptions),
    /// Give messages up: they are never sent
    Drop(OrderOptions),
    /// Write a stored message to standard output
    Export(ExportOptions),
}

#[derive(Args, Debug)]
pub(super) struct OrderOptions {
    /// The messages
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<SpoolId>,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct ExportOptions {
    /// The message
    pub(super) id: SpoolId,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct ListOptions {
    /// Also list messages that are settled
    #[arg(long)]
    pub(super) all: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: u32,
    /// Only messages older than this one
    #[arg(long, value_name = "ID")]
    pub(super) before: Option<SpoolId>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct MessageOptions {
    /// The id from the reply "queued as …"
    pub(super) id: SpoolId,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct WhyOptions {
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(super) from_ip: IpAddr,
    /// Who has signed in: a device, its user name, or an SMTP user
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// MAIL FROM; "" for the null reverse-path
    #[arg(long, value_name = "ADDR")]
    pub(super) mail_from: Option<String>,
    /// An address of the From or Sender header; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(super) header_from: Vec<String>,
    /// RCPT TO; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub(super) rcpt: Vec<String>,
    /// The listener [default: the first one]
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// The connection is encrypted
    #[arg(long)]
    pub(super) tls: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Print where every section stands, or the entries of one
    Show(RulesShowOptions),
    /// Fetch all sections now
    Sync(RulesSyncOptions),
    /// Print how what the provider says now differs from what is in force; changes nothing
    Diff(RulesOptions),
}

#[derive(Args, Debug)]
pub(super) struct RulesOptions {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct RulesShowOptions {
    /// Print the entries of this section, such as `domains` or `default/suppressions`
    #[arg(value_name = "[ACCOUNT/]SECTION")]
    pub(super) section: Option<String>,
    #[command(flatten)]
    pub(super) rules: RulesOptions,
}

#[derive(Args, Debug)]
pub(super) struct RulesSyncOptions {
    /// Believe lists that have suddenly shrunk, too
    #[arg(long)]
    pub(super) accept: bool,
    #[command(flatten)]
    pub(super) rules: RulesOptions,
}

#[derive(Args, Debug)]
pub(super) struct DoctorOptions {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Debug)]
pub(super) struct RefusalsOptions {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) limit: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RemoteOptions {
    #[command(flatten)]
    pub(super) config: ConfigOption,
    /// Admin address of the gateway [default: admin.bind of the settings]
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Make a password that can be typed on a panel, and the settings that accept it
    Password(PasswordOptions),
}

#[derive(Args, Debug)]
pub(super) struct PasswordOptions {
    /// User name: 5 to 16 lower-case letters and digits [default: a random one]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) username: String,
    /// Name of the device in the settings [default: the user name]
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
}
