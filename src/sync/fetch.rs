//! One look at one section.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use futures_util::TryStreamExt as _;

use crate::auth::{hash_password, verify_password};
use crate::journal::ErrorChain;
use crate::provider::groups::allowed_recipients::ViewAllowedRecipients;
use crate::provider::groups::allowed_senders::ViewAllowedSenders;
use crate::provider::groups::domain::ViewDomains;
use crate::provider::groups::ip_allow_list::ViewIpAllowList;
use crate::provider::groups::ip_auth::ViewIpAuth;
use crate::provider::groups::single_senders::ViewSingleSenders;
use crate::provider::groups::suppression::ViewSuppressions;
use crate::provider::groups::users::{SmtpUserResults, ViewSmtpUsers};
use crate::provider::{ApiError, Endpoint, Provider};
use crate::rules::{AccountRules, Confirmed, PasswordHash, SectionName, Standing, Users};

use super::reading::{self, Gathered, Odd, Read, Unusable};
use super::values::SectionValue;

/// What a look found.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) value: SectionValue,
    pub(super) odd: Odd,
    /// Suppressions only: the newest of them, as the provider writes times.
    pub(super) newest: String,
}

/// Why a look found nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("the provider says that there are {total}, and gives {given}")]
    Incomplete { total: u64, given: u64 },
    #[error("more than {SUPPRESSIONS_MAX} suppressions")]
    TooMany,
    #[error("the passwords of users could not be hashed")]
    Hashing,
}

/// Looks at sections of one account.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    provider: Provider,
    /// Whether users may sign in with their own passwords.
    passwords: bool,
    seen: Seen,
}

/// Which passwords were hashed: keyed, in memory only, so that an unchanged password keeps its hash.
#[derive(Clone, Debug)]
struct Seen {
    key: Option<Arc<hmac::Key>>,
    tags: Arc<std::sync::Mutex<HashMap<String, (hmac::Tag, PasswordHash)>>>,
}

impl Fetcher {
    pub(super) fn new(provider: Provider, passwords: bool) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).ok();
        Self {
            provider,
            passwords,
            seen: Seen {
                key: key.map(Arc::new),
                tags: Arc::default(),
            },
        }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// All of a section; `before` is what was known of it.
    pub(super) async fn fetch(
        &self,
        section: SectionName,
        before: Option<&SectionValue>,
    ) -> Result<Fetched, FetchError> {
        match section {
            SectionName::Users => match before {
                Some(SectionValue::Users(before)) => self.users(Some(before)).await,
                _ => self.users(None).await,
            },
            SectionName::AllowedSenders => {
                let request = ViewAllowedSenders::default();
                let read = reading::read_senders(self.provider.call(&request).await?)?;
                Ok(fetched(read, SectionValue::AllowedSenders))
            }
            SectionName::AllowedRecipients => {
                let request = ViewAllowedRecipients::default();
                let read = reading::read_recipients(self.provider.call(&request).await?)?;
                Ok(fetched(read, SectionValue::AllowedRecipients))
            }
            SectionName::IpAllowListSmtp => {
                let read = self.ip_list("smtp").await?;
                Ok(fetched(read, SectionValue::IpSmtp))
            }
            SectionName::IpAllowListApi => {
                let read = self.ip_list("api").await?;
                Ok(fetched(read, SectionValue::IpApi))
            }
            SectionName::IpAuth => {
                let read =
                    reading::read_ip_auth(self.provider.call(&ViewIpAuth::default()).await?)?;
                Ok(fetched(read, SectionValue::IpAuth))
            }
            SectionName::Domains => {
                let request = ViewDomains::default();
                let read = reading::read_domains(self.provider.call(&request).await?)?;
                Ok(fetched(read, SectionValue::Domains))
            }
            SectionName::SingleSenders => {
                let request = ViewSingleSenders::default();
                let read = reading::read_single_senders(self.provider.call(&request).await?)?;
                Ok(fetched(read, SectionValue::SingleSenders))
            }
            SectionName::Suppressions => self.suppressions(BEGINNING).await,
        }
    }

    async fn ip_list(&self, kind: &str) -> Result<Read<crate::rules::IpList>, FetchError> {
        let request = ViewIpAllowList {
            r#type: Some(kind.to_owned()),
        };
        Ok(reading::read_ip_list(self.provider.call(&request).await?)?)
    }

    /// Suppressions from then on. Without a date the provider shows 30 days only.
    pub(super) async fn suppressions(&self, since: &str) -> Result<Fetched, FetchError> {
        let request = ViewSuppressions {
            start_date: Some(since.to_owned()),
            ..ViewSuppressions::default()
        };
        let pages = self.provider.pages(request);
        futures_util::pin_mut!(pages);
        let mut gathered = Gathered::default();
        let (mut given, mut total) = (0, 0);
        for _ in 0..PAGES_MAX {
            let Some(page) = pages.try_next().await? else {
                break;
            };
            let count = page.results.as_ref().map_or(0, Vec::len) as u64;
            let says = page.total_results.as_ref();
            total = total.max(says.and_then(serde_json::Number::as_u64).unwrap_or(0));
            given += count;
            if given > SUPPRESSIONS_MAX {
                return Err(FetchError::TooMany);
            }
            reading::read_suppressions(page, &mut gathered)?;
        }
        // Some come and go while pages are turned; a twentieth does not.
        if given < total - total / 20 {
            return Err(FetchError::Incomplete { total, given });
        }
        let table = gathered.table.build();
        Ok(Fetched {
            value: SectionValue::Suppressions(Arc::new(table)),
            odd: gathered.odd,
            newest: gathered.newest,
        })
    }

    /// Whether this one address or domain is suppressed now.
    pub(super) async fn suppression_of(&self, entry: &str) -> Result<bool, FetchError> {
        let request = ViewSuppressions {
            start_date: Some(BEGINNING.to_owned()),
            email_address: Some(entry.to_owned()),
            ..ViewSuppressions::default()
        };
        let mut gathered = Gathered::default();
        let page = self.provider.call(&request).await?;
        reading::read_suppressions(page, &mut gathered)?;
        Ok(gathered.table.build().get(entry).is_some())
    }

    async fn users(&self, before: Option<&Users>) -> Result<Fetched, FetchError> {
        let answer = self.provider.call(&ViewSmtpUsers::default()).await?;
        let known: Known = before
            .into_iter()
            .flat_map(Users::iter)
            .map(|user| {
                let known = (user.standing.clone(), user.password.clone());
                (user.name.to_lowercase(), known)
            })
            .collect();
        let (seen, passwords) = (self.seen.clone(), self.passwords);
        // Thousands of passwords take a second: not on a thread that mail is waiting for.
        let read =
            tokio::task::spawn_blocking(move || read_users(answer, &known, &seen, passwords));
        let read = read.await.map_err(|_| FetchError::Hashing)??;
        Ok(fetched(read, SectionValue::Users))
    }
}

/// What was known of users, by their names in lower case.
type Known = HashMap<String, (Standing, Option<PasswordHash>)>;

fn read_users(
    answer: SmtpUserResults,
    known: &Known,
    seen: &Seen,
    passwords: bool,
) -> Result<Read<Users>, Unusable> {
    let mut tags = seen
        .tags
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut now = HashMap::new();
    let read = reading::read_users(answer, known, |name, password, before| {
        let key = seen.key.as_ref().filter(|_| passwords)?;
        let tag = hmac::sign(key, password.as_bytes());
        let same = |known: &&(hmac::Tag, PasswordHash)| {
            verify_slices_are_equal(known.0.as_ref(), tag.as_ref()).is_ok()
        };
        let hash = match tags.get(name).filter(same) {
            Some((_, hash)) => hash.clone(),
            // After a restart: the same password keeps its hash, and the section its digest.
            None => match before.filter(|hash| verify_password(hash, password.as_bytes())) {
                Some(hash) => hash.clone(),
                None => hash_password(password)?,
            },
        };
        now.insert(name.to_owned(), (tag, hash.clone()));
        Some(hash)
    })?;
    *tags = now;
    Ok(read)
}

fn fetched<T>(read: Read<T>, value: fn(Arc<T>) -> SectionValue) -> Fetched {
    Fetched {
        value: value(Arc::new(read.value)),
        odd: read.odd,
        newest: String::new(),
    }
}

/// These sections as the provider says them now, for whoever only looks; passwords are left out.
///
/// # Errors
/// What went wrong with the first that can't be had, in words.
pub async fn look(provider: &Provider, sections: &[SectionName]) -> Result<AccountRules, String> {
    let fetcher = Fetcher::new(provider.clone(), false);
    let mut rules = AccountRules::default();
    for section in sections {
        let fetched = fetcher.fetch(*section, None).await;
        let fetched = fetched.map_err(|error| ErrorChain(&error).to_string())?;
        fetched.value.install(&mut rules, &Confirmed::default());
    }
    Ok(rules)
}

/// The path that must be permitted for a section.
pub fn permission_for(section: SectionName) -> &'static str {
    path_of(section)
}

/// The operations that a key must be permitted for all sections.
pub fn needed_permissions() -> Vec<&'static str> {
    SectionName::ALL.into_iter().map(path_of).collect()
}

/// The operation that shows a section: what a key needs permission for.
pub(super) fn path_of(section: SectionName) -> &'static str {
    match section {
        SectionName::Users => ViewSmtpUsers::PATH,
        SectionName::AllowedSenders => ViewAllowedSenders::PATH,
        SectionName::AllowedRecipients => ViewAllowedRecipients::PATH,
        SectionName::IpAllowListSmtp | SectionName::IpAllowListApi => ViewIpAllowList::PATH,
        SectionName::IpAuth => ViewIpAuth::PATH,
        SectionName::Domains => ViewDomains::PATH,
        SectionName::SingleSenders => ViewSingleSenders::PATH,
        SectionName::Suppressions => ViewSuppressions::PATH,
    }
}

/// Before the provider was founded.
const BEGINNING: &str = "2000-01-01";
/// A million of suppressions at a thousand a page; a token that never ends must end here.
const PAGES_MAX: u32 = 10_000;
/// Ten times what any account is known to have; they are all held in memory.
const SUPPRESSIONS_MAX: u64 = 2_000_000;
