//! One session's counterpart: answers its questions in order.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::auth::{Authenticator, Checked};
use crate::clock::Clock;
use crate::journal::Journal;
use crate::mail::{
    Identity, Mailbox, Reply, ReversePath, Rules, SessionFacts, SignIn, Submitter, Verdict, reply,
};
use crate::message::{HeadCollector, PlanSettings};
use crate::policy;
use crate::session::{Answer, Question};
use crate::spool::{Draft, Shortage, Space, SpaceLimits, Spool, lane_name};

/// What all sessions share.
#[derive(Debug)]
pub struct Intake {
    pub(super) spool: Spool,
    space: Space,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) settings: IntakeSettings,
    rules: Arc<ArcSwap<Rules>>,
    authenticator: Arc<ArcSwap<Authenticator>>,
    /// argon2 takes 19 MB and a processor: few at a time.
    slow_checks: Semaphore,
}

/// How messages are accepted.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Our name in `Received:` and generated Message-IDs.
    pub hostname: String,
    /// What to do where headers and envelope differ.
    pub plan: PlanSettings,
    /// Octets of a header block.
    pub head_octets_max: usize,
    /// How much may be stored.
    pub space: SpaceLimits,
}

impl Intake {
    /// An intake into `spool`.
    pub fn new(
        spool: Spool,
        rules: Arc<ArcSwap<Rules>>,
        authenticator: Arc<ArcSwap<Authenticator>>,
        journal: Journal,
        clock: Clock,
        settings: IntakeSettings,
    ) -> Self {
        Self {
            space: Space::new(spool.clone(), settings.space.clone(), clock),
            spool,
            clock,
            journal,
            settings,
            rules,
            authenticator,
            slow_checks: Semaphore::new(2),
        }
    }

    /// Whether anybody can sign in at all.
    pub fn has_users(&self) -> bool {
        self.authenticator.load().has_users()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Reception {
    intake: Arc<Intake>,
    transaction: Option<Transaction>,
}

/// From an accepted MAIL to the end of its data.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) rules: Arc<Rules>,
    pub(super) submitter: Submitter,
    incoming: Option<Incoming>,
}

/// Content on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) head: HeadCollector,
    pub(super) draft: Draft,
    /// Why the message can't be taken, though it is still being read.
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    HeaderTooBig,
    /// Reported when it happened.
    Spool,
}

impl Reception {
    /// For one session.
    pub fn new(intake: Arc<Intake>) -> Self {
        Self {
            intake,
            transaction: None,
        }
    }

    /// Answers a question of the session.
    pub async fn answer(&mut self, facts: &SessionFacts, question: Question) -> Answer {
        match question {
            Question::SignIn(sign_in) => Answer::SignIn(self.sign_in(facts, sign_in).await),
            Question::Sender(reverse_path) => Answer::Verdict(self.sender(facts, &reverse_path)),
            Question::Recipient(recipient) => Answer::Verdict(self.recipient(&recipient)),
            Question::BeginData => Answer::Verdict(self.begin_data()),
            Question::EndOfData(received) => {
                let complete = self.transaction.take().and_then(|transaction| {
                    let Transaction {
                        rules,
                        submitter,
                        incoming,
                    } = transaction;
                    Some((rules, submitter, incoming?))
                });
                let reply = match complete {
                    Some((rules, submitter, incoming)) => match incoming.trouble {
                        Some(Trouble::HeaderTooBig) => {
                            self.intake.header_too_big(facts, &submitter)
                        }
                        Some(Trouble::Spool) => reply::SPOOL_UNAVAILABLE,
                        None => {
                            self.intake
                                .submit(facts, &rules, &submitter, incoming, received)
                                .await
                        }
                    },
                    None => reply::SPOOL_UNAVAILABLE,
                };
                Answer::Settled(reply)
            }
        }
    }

    /// Takes a piece of message content.
    pub async fn content(&mut self, content: Bytes) {
        let journal = self.intake.journal;
        let Some(incoming) = self
            .transaction
            .as_mut()
            .and_then(|transaction| transaction.incoming.as_mut())
            .filter(|incoming| incoming.trouble.is_none())
        else {
            return;
        };
        match incoming.head.feed(content) {
            Err(_) => incoming.trouble = Some(Trouble::HeaderTooBig),
            Ok(body) => {
                if let Err(error) = incoming.draft.write(body).await {
                    journal.spool_failed("storing message content", &error);
                    incoming.trouble = Some(Trouble::Spool);
                }
            }
        }
    }

    /// Forgets the content so far.
    pub fn discard(&mut self) {
        self.transaction = None;
    }

    async fn sign_in(
        &mut self,
        facts: &SessionFacts,
        sign_in: SignIn,
    ) -> Result<Option<Identity>, Reply> {
        let intake = &self.intake;
        let rules = intake.rules.load_full();
        if sign_in.username.is_empty() && sign_in.password.is_empty() {
            // Devices that must send something when AUTH is offered send this. It grants nothing
            // that the address does not grant already.
            return match policy::submitter(&rules, facts) {
                Ok(_) => {
                    intake.journal.signed_in(facts, None);
                    Ok(None)
                }
                Err(_) => {
                    let hint = "blank credentials from an address that has no rights of its own";
                    intake.journal.sign_in_refused(facts, None, hint);
                    Err(reply::SIGN_IN_REFUSED)
                }
            };
        }
        let checked = self.check(sign_in).await?;
        let refused = |device: Option<&str>, hint: &str, reply: Reply| {
            self.intake.journal.sign_in_refused(facts, device, hint);
            Err(reply)
        };
        match checked {
            Checked::Yes(identity) => match policy::sign_in(&rules, facts, &identity) {
                Ok(()) => {
                    self.intake.journal.signed_in(facts, Some(&identity.device));
                    Ok(Some(identity))
                }
                Err(refusal) => refused(Some(&identity.device), &refusal.hint, refusal.reply),
            },
            Checked::No(Some(device)) => {
                let hint = "the password is not the one in the configuration";
                refused(Some(&device), hint, reply::SIGN_IN_REFUSED)
            }
            Checked::No(None) | Checked::Unsure => {
                refused(None, "no device has this user name", reply::SIGN_IN_REFUSED)
            }
        }
    }

    async fn check(&self, sign_in: SignIn) -> Result<Checked, Reply> {
        let authenticator = self.intake.authenticator.load_full();
        let quick = authenticator.check(&sign_in);
        if quick != Checked::Unsure {
            return Ok(quick);
        }
        let Ok(_turn) = self.intake.slow_checks.acquire().await else {
            return Err(reply::SIGN_IN_UNAVAILABLE);
        };
        tokio::task::spawn_blocking(move || authenticator.check_slowly(&sign_in))
            .await
            .map_err(|_| reply::SIGN_IN_UNAVAILABLE)
    }

    fn sender(&mut self, facts: &SessionFacts, reverse_path: &ReversePath) -> Verdict {
        self.transaction = None;
        let rules = self.intake.rules.load_full();
        let refuse = |device: Option<&str>, refusal: policy::Refusal| {
            self.intake
                .journal
                .refused(facts, "sender", device, &refusal.reply, &refusal.hint);
            Verdict::Refuse(refusal.reply)
        };
        let submitter = match policy::submitter(&rules, facts) {
            Ok(submitter) => submitter,
            Err(refusal) => return refuse(None, refusal),
        };
        if let Err(refusal) = policy::sender(&rules, &submitter, reverse_path) {
            return refuse(submitter.device.as_deref(), refusal);
        }
        // Last, so that nobody learns of our storage who may not send anyway.
        let lane = lane_name(submitter.device.as_deref(), facts.address());
        if let Err(shortage) = self.intake.space.check(&lane) {
            let refusal = policy::Refusal {
                reply: match shortage {
                    Shortage::Lane { .. } => reply::DEVICE_QUOTA,
                    Shortage::Spool { .. } | Shortage::Disk { .. } => reply::SPOOL_FULL,
                },
                hint: format!("{shortage}: is the provider reachable? is the account halted?"),
            };
            return refuse(submitter.device.as_deref(), refusal);
        }
        self.transaction = Some(Transaction {
            rules,
            submitter,
            incoming: None,
        });
        Verdict::Accept
    }

    fn recipient(&mut self, _recipient: &Mailbox) -> Verdict {
        match self.transaction {
            Some(_) => Verdict::Accept,
            None => Verdict::Refuse(reply::MAIL_FIRST),
        }
    }

    fn begin_data(&mut self) -> Verdict {
        let Some(transaction) = &mut self.transaction else {
            return Verdict::Refuse(reply::MAIL_FIRST);
        };
        transaction.incoming = Some(Incoming {
            head: HeadCollector::new(self.intake.settings.head_octets_max),
            draft: self.intake.spool.draft(),
            trouble: None,
        });
        Verdict::Accept
    }
}
