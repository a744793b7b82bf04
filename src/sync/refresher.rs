//! One account's sections, looked at in turn for as long as the gateway runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::journal::{ErrorChain, Journal};
use crate::provider::{ApiError, Disposition, Provider, read_date};
use crate::resilience::FixedWindow;
use crate::rules::{AccountRules, Confirmed, SectionName, SuppressionReason, Suppressions, Users};
use crate::spool::{Spool, SpoolError};

use super::fetch::{FetchError, Fetched, Fetcher, path_of};
use super::handle::{Command, SyncHandle};
use super::held::{Held, NOT_ASKED, Shared, Trouble, lock};
use super::publisher::Publisher;
use super::snapshot::{self, Header};
use super::status::{SectionDiff, diff};
use super::values::SectionValue;

/// How rules are kept fresh.
#[derive(Clone, Copy, Debug)]
pub struct SyncSettings {
    /// Between two looks at a section.
    pub interval: Duration,
    /// Between two looks at all suppressions.
    pub suppressions_full: Duration,
    /// How long a list that was emptied is kept.
    pub shrink_guard: Duration,
    /// When a section is too old.
    pub stale_after: Duration,
    /// Whether users may sign in with their own passwords.
    pub user_sign_in: bool,
}

/// Keeps one account's rules fresh.
#[derive(Debug)]
pub struct Synchroniser {
    pub(super) account: Arc<str>,
    pub(super) fetcher: Fetcher,
    pub(super) spool: Spool,
    pub(super) publisher: Publisher,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) settings: SyncSettings,
    pub(super) held: Shared,
    pub(super) orders: mpsc::Receiver<Command>,
    pub(super) handle: SyncHandle,
    /// The whole account is left alone until then.
    pub(super) paused_until: Instant,
    /// In a row, of the whole account.
    pub(super) troubles: u32,
    pub(super) questions: FixedWindow,
    pub(super) key_generation: u64,
}

impl Synchroniser {
    /// Loads the last-known-good rules and publishes them. Nothing is asked of the provider yet.
    pub async fn load(
        account: &str,
        provider: Provider,
        spool: Spool,
        publisher: Publisher,
        (journal, clock): (Journal, Clock),
        settings: SyncSettings,
    ) -> Self {
        let account: Arc<str> = account.into();
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let now = Instant::from_std(clock.now());
        let held: BTreeMap<SectionName, Held> = SectionName::ALL
            .into_iter()
            .map(|section| (section, Held::new(now)))
            .collect();
        let held = Arc::new(Mutex::new(held));
        let handle = SyncHandle {
            account: Arc::clone(&account),
            orders: sender,
            held: Arc::clone(&held),
            stale_after: settings.stale_after,
        };
        let mut synchroniser = Self {
            account,
            key_generation: provider.key_generation(),
            fetcher: Fetcher::new(provider, settings.user_sign_in),
            spool,
            publisher,
            journal,
            clock,
            settings,
            held,
            orders,
            handle,
            paused_until: now,
            troubles: 0,
            questions: SUPPRESSION_LOOKUPS,
        };
        synchroniser.load_stored().await;
        synchroniser
    }

    /// What talks to it.
    pub fn handle(&self) -> SyncHandle {
        self.handle.clone()
    }

    async fn load_stored(&mut self) {
        let parts = match self.spool.rules(&self.account).await {
            Ok(parts) => parts,
            Err(error) => {
                self.journal
                    .spool_failed("reading the stored rules", &error);
                return;
            }
        };
        // Two hundred thousand suppressions take a moment.
        let read = tokio::task::spawn_blocking(move || snapshot::read(parts)).await;
        let (trusted, untrusted) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "stored rules could not be read");
                (Vec::new(), Vec::new())
            }
        };
        for (section, why, parts) in untrusted {
            self.journal.rules_set_aside(&self.account, section, &why);
            if let Err(error) = self
                .spool
                .put_rules(&self.account, parts, Some(1..=u32::MAX))
                .await
            {
                self.journal
                    .spool_failed("setting stored rules aside", &error);
            }
        }
        for stored in trusted {
            let mut all = lock(&self.held);
            let Some(held) = all.get_mut(&stored.value.name()) else {
                continue;
            };
            let mut value = stored.value;
            if let (SectionValue::Users(users), false) = (&value, self.settings.user_sign_in) {
                value = SectionValue::Users(Arc::new(without_passwords(users)));
            }
            held.confirmed = Confirmed::new(stored.header.confirmed_at);
            held.written_at = stored.header.confirmed_at;
            held.value = Some(value);
            held.stored = true;
            held.header = Some(stored.header);
        }
        self.publish();
    }

    /// Looks at one section after the other until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let (section, due) = self.next_due();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(order) = self.orders.recv() => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.carry_out(order) => {}
                    }
                }
                () = sleep_until(due) => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        _ = self.look(section, false) => {}
                    }
                }
            }
        }
        self.write_confirmations(true).await;
    }

    fn next_due(&self) -> (SectionName, Instant) {
        let held = lock(&self.held);
        let first = SectionName::ALL
            .into_iter()
            .filter_map(|section| Some((section, held.get(&section)?.due)))
            // The first of equals: what decides about most mail.
            .min_by_key(|(_, due)| *due);
        let (section, due) = first.unwrap_or((SectionName::Domains, self.paused_until));
        (section, due.max(self.paused_until))
    }

    async fn carry_out(&mut self, order: Command) {
        match order {
            Command::Refresh { accept, done } => {
                self.paused_until = self.now();
                for section in SectionName::ALL {
                    if !self.look(section, accept).await {
                        break;
                    }
                }
                drop(done.send(self.handle.status(self.clock.wall())));
            }
            Command::Diff(done) => {
                let diffs = self.differences().await;
                drop(done.send(diffs));
            }
            Command::Revalidate(wanted) => self.revalidate(wanted).await,
            Command::KeyChanged => {
                if self.fetcher.provider().key_generation() != self.key_generation {
                    self.look_again();
                }
            }
        }
    }

    /// The key may be another one: everything is due, and nothing is left alone.
    fn look_again(&mut self) {
        self.key_generation = self.fetcher.provider().key_generation();
        let now = self.now();
        self.paused_until = now;
        self.troubles = 0;
        for held in lock(&self.held).values_mut() {
            held.due = now;
        }
    }

    /// Looks at a section; `false` where the account is to be left alone for a while.
    pub(super) async fn look(&mut self, section: SectionName, accept: bool) -> bool {
        if self.fetcher.provider().key_generation() != self.key_generation {
            self.look_again();
        }
        let (before, header, incremental) = {
            let held = lock(&self.held);
            let Some(held) = held.get(&section) else {
                return true;
            };
            let since = self.suppressions_since(held).filter(|_| !accept);
            (held.value.clone(), held.header.clone(), since)
        };
        let found = match (&before, &incremental) {
            (Some(SectionValue::Suppressions(known)), Some(since))
                if section == SectionName::Suppressions =>
            {
                let added = self.fetcher.suppressions(since).await;
                added.map(|added| Found::Added(Arc::clone(known), added))
            }
            _ => {
                let fetched = self.fetcher.fetch(section, before.as_ref()).await;
                fetched.map(Found::All)
            }
        };
        let looked_at = self.now();
        match found {
            Ok(found) => {
                if std::mem::take(&mut self.troubles) > 0 {
                    self.catch_up(looked_at);
                }
                self.take_in(section, found, before, header, accept).await;
                self.schedule(section, looked_at, self.settings.interval);
                true
            }
            Err(error) => self.failed(section, &error, looked_at),
        }
    }

    /// What could not be asked for the account's sake is asked now.
    fn catch_up(&self, now: Instant) {
        for held in lock(&self.held).values_mut() {
            if held.trouble == Some(Trouble::NotAsked) {
                held.due = now;
            }
        }
    }

    /// Since when suppressions are fetched, where all of them were fetched not long ago.
    fn suppressions_since(&self, held: &Held) -> Option<String> {
        let header = held.header.as_ref()?;
        let full_at = header.full_at?;
        let now = self.clock.wall();
        if now.since(full_at) >= self.settings.suppressions_full || full_at > now {
            return None;
        }
        // By the provider's own clock, with room for entries that are late.
        let newest = read_date(&header.newest).unwrap_or(full_at);
        // An entry of the future must not hide those of the present.
        let newest = newest.min(now);
        Some(newest.before(OVERLAP).to_string())
    }

    async fn take_in(
        &mut self,
        section: SectionName,
        found: Found,
        before: Option<SectionValue>,
        header: Option<Header>,
        accept: bool,
    ) {
        let now = self.clock.wall();
        let (fetched, changes, full) = found.merged();
        let Fetched { value, odd, newest } = fetched;
        if odd.count > 0
            && lock(&self.held)
                .get(&section)
                .is_none_or(|held| held.odd != odd)
        {
            self.journal
                .rules_odd(&self.account, section, odd.count, &odd.first);
        }
        let (old, new) = (
            before.as_ref().map_or(0, SectionValue::count),
            value.count(),
        );
        let grace = if accept {
            Duration::ZERO
        } else {
            self.settings.shrink_guard
        };
        {
            let mut all = lock(&self.held);
            let Some(held) = all.get_mut(&section) else {
                return;
            };
            held.odd = odd;
            held.failures = 0;
            held.fresh = true;
            let changed_mode = before.as_ref().map(SectionValue::setting) != Some(value.setting());
            let guarded = changed_mode
                || held
                    .guard
                    .believes((old, new), emptied_min(section), grace, now);
            if !guarded {
                let trouble = Some(Trouble::Shrunken(old, new));
                let told = held.trouble == trouble;
                held.trouble = trouble;
                held.fresh = false;
                drop(all);
                if !told {
                    self.journal
                        .rules_shrunken(&self.account, section, old, new, grace);
                }
                return;
            }
            let trouble = held.trouble.take();
            if trouble.is_some_and(|trouble| trouble != Trouble::NotAsked) {
                self.journal.rules_recovered(&self.account, section);
            }
        }
        let digest = value.digest();
        let stored = lock(&self.held)
            .get(&section)
            .is_some_and(|held| held.stored);
        let unchanged = stored
            && header
                .as_ref()
                .is_some_and(|header| header.digest == digest);
        let mut fresh = Header {
            version: snapshot::VERSION,
            confirmed_at: now,
            digest,
            first: header.as_ref().map_or(1, |header| header.first),
            pieces: header.as_ref().map_or(0, |header| header.pieces),
            full_at: header.as_ref().and_then(|header| header.full_at),
            newest: header
                .as_ref()
                .map(|header| header.newest.clone())
                .unwrap_or_default(),
        };
        if section == SectionName::Suppressions {
            if full {
                fresh.full_at = Some(now);
            }
            if newest > fresh.newest && read_date(&newest).is_some_and(|newest| newest <= now) {
                fresh.newest = newest;
            }
        }
        self.journal
            .rules_refreshed(&self.account, section, unchanged);
        if unchanged {
            {
                let mut all = lock(&self.held);
                let Some(held) = all.get_mut(&section) else {
                    return;
                };
                held.confirmed.again(now);
                held.stale_told = false;
                held.header = Some(fresh);
            }
            self.write_confirmations(false).await;
            return;
        }
        self.put_in_force(value, (header.as_ref(), fresh), changes, Some(now))
            .await;
    }

    /// Publishes a section, then stores it: what changed where that is known, else all of it. `confirmed` where the
    /// provider has said so of the section as a whole.
    pub(super) async fn put_in_force(
        &self,
        value: SectionValue,
        (before, fresh): (Option<&Header>, Header),
        changes: Option<Changes>,
        confirmed: Option<Timestamp>,
    ) {
        let section = value.name();
        let (stored, entries) = {
            let mut all = lock(&self.held);
            let Some(held) = all.get_mut(&section) else {
                return;
            };
            let entries = held.value.as_ref().map_or(0, SectionValue::count);
            held.value = Some(value.clone());
            held.header = Some(fresh.clone());
            if let Some(now) = confirmed {
                held.confirmed = Confirmed::new(now);
                held.stale_told = false;
                held.written_at = now;
            }
            (std::mem::replace(&mut held.stored, false), entries)
        };
        // In force first: a disk that is full must not keep a rule from being heeded.
        self.publish();
        if before.is_none_or(|before| before.digest != fresh.digest) {
            self.journal
                .rules_changed(&self.account, section, entries, value.count());
        }
        let changes = changes.filter(|_| stored);
        match self.store(&value, changes, before, fresh).await {
            Ok(fresh) => {
                if let Some(held) = lock(&self.held).get_mut(&section) {
                    held.header = Some(fresh);
                    held.stored = true;
                }
            }
            // In force all the same; the next look writes it whole.
            Err(error) => self.journal.spool_failed("storing rules", &error),
        }
    }

    /// Writes a section down: what changed as a further piece, or all of it, piece by piece. What was stored before
    /// counts until the header is written, which comes last.
    async fn store(
        &self,
        value: &SectionValue,
        changes: Option<Changes>,
        before: Option<&Header>,
        mut fresh: Header,
    ) -> Result<Header, SpoolError> {
        if let (Some(changes), true) = (changes, fresh.pieces < PIECES_MAX) {
            let parts = snapshot::write_changes(&changes, &mut fresh);
            self.spool.put_rules(&self.account, parts, None).await?;
            return Ok(fresh);
        }
        let (first, pieces) = snapshot::write_pieces(value, before);
        let mut count = 0;
        for piece in pieces {
            self.spool
                .put_rules(&self.account, vec![piece], None)
                .await?;
            count += 1;
        }
        (fresh.first, fresh.pieces) = (first, count);
        let header = vec![snapshot::write_header(value.name(), &fresh)];
        let keep = Some(fresh.range());
        self.spool.put_rules(&self.account, header, keep).await?;
        Ok(fresh)
    }

    pub(super) fn failed(
        &mut self,
        section: SectionName,
        error: &FetchError,
        looked_at: Instant,
    ) -> bool {
        let (mut whole_account, mut pause, mut not_permitted) = (false, None, false);
        if let FetchError::Api(error) = error {
            not_permitted = error.is_not_offered();
            whole_account = !not_permitted && concerns_account(error);
            if let (false, Disposition::Throttle(wait)) = (not_permitted, error.disposition()) {
                pause = Some(wait.unwrap_or(THROTTLE_PAUSE).max(THROTTLE_PAUSE));
            }
        }
        let why = ErrorChain(error).to_string();
        let trouble = if not_permitted {
            Trouble::NotPermitted
        } else {
            Trouble::Failed(why.clone())
        };
        let now = self.clock.wall();
        let mut withdrawn = false;
        let (news, failures, stale) = {
            let mut all = lock(&self.held);
            let Some(held) = all.get_mut(&section) else {
                return true;
            };
            let kind = |trouble: &Option<Trouble>| trouble.as_ref().map(std::mem::discriminant);
            let before = held
                .trouble
                .as_ref()
                .filter(|known| **known != Trouble::NotAsked);
            let news = kind(&before.cloned()) != kind(&Some(trouble.clone()));
            held.trouble = Some(trouble);
            held.fresh = false;
            let age = now.since(held.confirmed.at());
            if not_permitted && held.value.is_some() && age > self.settings.stale_after {
                // It will never be confirmed again: from here on it is not known.
                held.value = None;
                held.stored = false;
                held.header = None;
                withdrawn = true;
            }
            held.failures = held.failures.saturating_add(1);
            let age = held.value.as_ref().map(|_| now.since(held.confirmed.at()));
            let stale = age.filter(|age| *age > self.settings.stale_after && !held.stale_told);
            held.stale_told |= stale.is_some();
            (news, held.failures, stale)
        };
        self.journal.rules_failed(
            &self.account,
            section,
            path_of(section),
            not_permitted,
            &why,
            news,
        );
        if withdrawn || (news && section == SectionName::Users) {
            self.publish();
        }
        if let Some(age) = stale {
            self.journal.rules_stale(&self.account, section, age);
        }
        if whole_account {
            self.troubles = self.troubles.saturating_add(1);
            if self.troubles == 1 {
                // Who signs in may have to wait.
                self.publish();
            }
            // What can't be asked now is not as fresh as it was.
            for held in lock(&self.held).values_mut() {
                held.fresh = false;
                held.trouble.get_or_insert(Trouble::NotAsked);
            }
            let pause = pause.unwrap_or_else(|| self.backoff(self.troubles));
            self.paused_until = looked_at + pause;
        }
        let wait = if not_permitted {
            // Errors count against the whole site's address (provider-api 4).
            NOT_PERMITTED_PAUSE.max(self.settings.interval)
        } else if whole_account {
            self.settings.interval
        } else {
            self.backoff(failures)
        };
        self.schedule(section, looked_at, wait);
        !whole_account
    }

    /// The interval, doubled with every failure.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.settings.interval.saturating_mul(1 << failures.min(3));
        doubled.min(BACKOFF_MAX.max(self.settings.interval))
    }

    /// The next look, 20 % more or less at random: many gateways must not ask in step.
    fn schedule(&self, section: SectionName, looked_at: Instant, wait: Duration) {
        let mut octets = [0; 4];
        let random = match aws_lc_rs::rand::fill(&mut octets) {
            Ok(()) => f64::from(u32::from_ne_bytes(octets)) / f64::from(u32::MAX),
            Err(_) => 0.5,
        };
        let due = looked_at + wait.mul_f64(0.8 + 0.4 * random);
        if let Some(held) = lock(&self.held).get_mut(&section) {
            held.due = due;
            held.looked_at = Some(looked_at);
        }
    }

    /// What is in force, all sections together.
    pub(super) fn publish(&self) {
        let mut rules = AccountRules::default();
        for (section, held) in &*lock(&self.held) {
            if *section == SectionName::Users {
                let failed = matches!(held.trouble, Some(Trouble::Failed(_)));
                rules.users_awaited = held.value.is_none() && (failed || self.troubles > 0);
            }
            if let Some(value) = &held.value {
                value.install(&mut rules, &held.confirmed);
            }
        }
        self.publisher.set_account(&self.account, rules);
    }

    /// Now and then, so that a start without network knows how old the rules are.
    async fn write_confirmations(&self, now_or_never: bool) {
        let now = self.clock.wall();
        let mut due = Vec::new();
        for (section, held) in &mut *lock(&self.held) {
            let confirmed_at = held.confirmed.at();
            let wanted = confirmed_at.since(held.written_at) >= CONFIRM_INTERVAL
                || (now_or_never && confirmed_at > held.written_at);
            if let (true, Some(header)) = (wanted && held.stored, &mut held.header) {
                header.confirmed_at = confirmed_at;
                held.written_at = confirmed_at.min(now);
                due.push(snapshot::write_header(*section, header));
            }
        }
        if due.is_empty() {
            return;
        }
        if let Err(error) = self.spool.put_rules(&self.account, due, None).await {
            self.journal
                .spool_failed("storing the age of rules", &error);
        }
    }

    async fn differences(&self) -> Vec<SectionDiff> {
        let mut diffs = Vec::new();
        let mut left_alone = false;
        for section in SectionName::ALL {
            if left_alone {
                diffs.push(SectionDiff {
                    account: self.account.to_string(),
                    section,
                    trouble: NOT_ASKED.to_owned(),
                    setting: None,
                    entries: Vec::new(),
                    more: 0,
                });
                continue;
            }
            let before = lock(&self.held)
                .get(&section)
                .and_then(|held| held.value.clone());
            match self.fetcher.fetch(section, before.as_ref()).await {
                Ok(fetched) => diffs.push(diff(&self.account, before.as_ref(), &fetched.value)),
                Err(error) => {
                    left_alone = matches!(&error, FetchError::Api(error)
                        if !error.is_not_offered() && concerns_account(error));
                    diffs.push(SectionDiff {
                        account: self.account.to_string(),
                        section,
                        trouble: ErrorChain(&error).to_string(),
                        setting: None,
                        entries: Vec::new(),
                        more: 0,
                    });
                }
            }
        }
        diffs
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_std(self.clock.now())
    }
}

/// Whether every other call would fail, too.
fn concerns_account(error: &ApiError) -> bool {
    match error.disposition() {
        Disposition::Throttle(_)
        | Disposition::Halt
        | Disposition::Suspect
        | Disposition::Quota => true,
        Disposition::Defer | Disposition::Unknown | Disposition::Bounce => {
            matches!(error, ApiError::Unreachable(_))
        }
    }
}

/// How many entries a list must have had for its emptying to be doubted. Without its only domain, or its only user, an
/// account can't send at all; other lists end by losing their last entry.
fn emptied_min(section: SectionName) -> usize {
    match section {
        SectionName::Domains | SectionName::Users => 1,
        _ => 2,
    }
}

/// What a look found, against what was known.
enum Found {
    All(Fetched),
    /// Suppressions that are new, or newly said.
    Added(Arc<Suppressions>, Fetched),
}

/// Suppressions that were added (with a reason) or have gone (without).
type Changes = Vec<(Box<str>, Option<SuppressionReason>)>;

impl Found {
    /// The whole value, what changed where that is known, and whether all of it was looked at.
    fn merged(self) -> (Fetched, Option<Changes>, bool) {
        match self {
            Self::All(fetched) => (fetched, None, true),
            Self::Added(known, fetched) => {
                let SectionValue::Suppressions(added) = &fetched.value else {
                    return (fetched, None, true);
                };
                let news: Changes = added
                    .iter()
                    .filter(|(entry, reason)| known.get(entry) != Some(*reason))
                    .map(|(entry, reason)| (entry.into(), Some(reason)))
                    .collect();
                let value = if news.is_empty() {
                    known
                } else {
                    let changes = news.iter().map(|(entry, reason)| (entry.as_ref(), *reason));
                    Arc::new(known.with(changes))
                };
                let fetched = Fetched {
                    value: SectionValue::Suppressions(value),
                    ..fetched
                };
                (fetched, Some(news), false)
            }
        }
    }
}

fn without_passwords(users: &Users) -> Users {
    let mut stripped = Users::default();
    for user in users.iter() {
        let mut user = user.clone();
        user.password = None;
        stripped.insert(user);
    }
    stripped.default_limit = users.default_limit;
    stripped
}

const ORDERS_MAX: usize = 64;
/// Entries that the provider shows late.
const OVERLAP: Duration = Duration::from_secs(600);
/// Beyond so many pieces a section is written whole again.
const PIECES_MAX: u32 = 500;
/// How often it is written down that nothing has changed.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(600);
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// The vendor shuts callers out for at least a minute (provider-api 4).
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);
const NOT_PERMITTED_PAUSE: Duration = Duration::from_secs(3600);

/// Questions about single addresses: whoever makes up recipients must not make us shut out.
const SUPPRESSION_LOOKUPS: FixedWindow = FixedWindow::new(20, Duration::from_secs(60));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::http::{ClientSettings, client};
    use crate::provider::{Account, Deadlines};
    use crate::rules::Rules;
    use crate::simulator::{Fault, ScriptedFault, SimulatedAccount, Simulator};
    use crate::spool::{MemoryStore, SpoolSettings};

    #[tokio::test]
    async fn what_could_not_be_asked_is_due_once_the_account_answers_again() {
        let (key, stop) = ("api-1", CancellationToken::new());
        let any = "127.0.0.1:0".parse().expect("an address");
        let simulator = Simulator::start(any, SimulatedAccount::sample(key), stop.clone());
        let simulator = simulator.await.expect("a simulator");
        let patience = Duration::from_secs(30);
        let settings = ClientSettings {
            connect_timeout: patience,
            ca_file: None,
            proxy: false,
        };
        let account = Account {
            base_url: simulator.api_url(),
            key: Secret::new(key.to_owned()),
        };
        let deadlines = Deadlines {
            connect: patience,
            answer: patience,
            upload_rate_min: 1,
        };
        let provider = Provider::new(client(&settings).expect("a client"), account, deadlines);
        let store = Box::new(MemoryStore::default());
        let spool = Spool::start(store, SpoolSettings::default(), Clock).expect("a spool");
        let hour = Duration::from_secs(3600);
        let settings = SyncSettings {
            interval: hour,
            suppressions_full: hour,
            shrink_guard: hour,
            stale_after: hour,
            user_sign_in: false,
        };
        let publisher = Publisher::new(Rules::default());
        let around = (Journal, Clock);
        let mut synchroniser =
            Synchroniser::load("default", provider, spool, publisher, around, settings).await;
        for section in SectionName::ALL {
            assert!(synchroniser.look(section, false).await, "{section}");
        }
        simulator.script([ScriptedFault {
            endpoint: None,
            times: 1,
            fault: Fault::Status {
                status: 401,
                body: String::new(),
                retry_after: None,
            },
        }]);
        let due = |synchroniser: &Synchroniser| -> Vec<SectionName> {
            let (held, now) = (lock(&synchroniser.held), synchroniser.now());
            let due = held.iter().filter(|(_, held)| held.due <= now);
            due.map(|(section, _)| *section).collect()
        };

        assert!(!synchroniser.look(SectionName::Domains, false).await);
        assert!(due(&synchroniser).is_empty(), "they are left alone");
        assert!(synchroniser.look(SectionName::Domains, false).await);

        let others = SectionName::ALL.len() - 1;
        assert_eq!(due(&synchroniser).len(), others, "an hour is not waited");
        assert!(!due(&synchroniser).contains(&SectionName::Domains));
        stop.cancel();
    }
}
