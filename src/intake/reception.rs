//! One session's counterpart: answers its questions in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::auth::{Authentication, Leave};
use crate::mail::{Identity, Mailbox, Reply, ReversePath, SessionFacts, SignIn, Verdict, reply};
use crate::message::HeadCollector;
use crate::policy::{Policy, Refusal, Revalidation};
use crate::rules::{Rules, SectionName, Submitter};
use crate::session::{Answer, Question};
use crate::spool::{Announced, Draft, Shortage};

use super::context::Intake;
use super::refusals::Stage;

/// See the module's documentation.
#[derive(Debug)]
pub struct Reception {
    intake: Arc<Intake>,
    transaction: Option<AuthorizedTransaction>,
}

/// From an accepted MAIL to the end of its data.
#[derive(Debug)]
pub(super) struct AuthorizedTransaction {
    pub(super) rules: Arc<Rules>,
    pub(super) submitter: Submitter,
    announced: Announced,
    incoming: Option<Incoming>,
}

/// Content on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) head: HeadCollector,
    pub(super) draft: Draft,
    octets: u64,
    /// Why the message can't be taken, though it is still being read.
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    HeaderTooBig,
    /// The disk has no room for the rest of it.
    Full,
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

    /// Answers a question of the session; `gone` is over when the client has left.
    pub async fn answer(
        &mut self,
        facts: &SessionFacts,
        question: Question,
        gone: impl Future<Output = ()>,
    ) -> Answer {
        match question {
            Question::SignIn(sign_in) => Answer::SignIn(self.sign_in(facts, sign_in, gone).await),
            Question::Sender(reverse_path, size) => {
                Answer::Verdict(self.sender(facts, &reverse_path, size.unwrap_or(0)))
            }
            Question::Recipient(recipient) => Answer::Verdict(self.recipient(facts, &recipient)),
            Question::BeginData => Answer::Verdict(self.begin_data()),
            Question::EndOfData(received) => {
                let complete = self.transaction.take().and_then(|transaction| {
                    let AuthorizedTransaction {
                        rules,
                        submitter,
                        incoming,
                        ..
                    } = transaction;
                    Some((rules, submitter, incoming?))
                });
                let reply = match complete {
                    Some((rules, submitter, incoming)) => match incoming.trouble {
                        Some(Trouble::HeaderTooBig) => {
                            self.intake.header_too_big(facts, &submitter)
                        }
                        Some(Trouble::Full) => reply::SPOOL_FULL,
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
        let Some(transaction) = self.transaction.as_mut() else {
            return;
        };
        transaction.announced.arrived(content.len() as u64);
        let is_counted = !transaction.announced.is_spent();
        let incoming = transaction.incoming.as_mut();
        let Some(incoming) = incoming.filter(|incoming| incoming.trouble.is_none()) else {
            return;
        };
        incoming.octets += content.len() as u64;
        // Not every client says how much will come; small messages were counted at MAIL.
        if incoming.octets > UNANNOUNCED_MAX
            && !is_counted
            && let Err(shortage) = self.intake.space.check_disk(0)
        {
            journal.spool_failed("storing message content", &shortage);
            incoming.trouble = Some(Trouble::Full);
            return;
        }
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
        gone: impl Future<Output = ()>,
    ) -> Result<Option<Identity>, Reply> {
        let intake = &self.intake;
        let rules = intake.rules();
        let policy = Policy::new(&rules, facts, intake.clock.wall());
        if sign_in.username.is_empty() && sign_in.password.is_empty() {
            // Devices that must send something when AUTH is offered send this. It grants nothing
            // that the address does not grant already.
            return match policy.submitter() {
                Ok(_) => {
                    intake.journal.signed_in(facts, None);
                    Ok(None)
                }
                Err(_) => {
                    let hint = "blank credentials from an address that has no rights of its own";
                    intake.journal.sign_in_refused(facts, "", None, hint);
                    Err(reply::SIGN_IN_REFUSED)
                }
            };
        }
        let address = facts.address();
        let refused = |device: Option<&str>, hint: &str, reply: Reply| {
            let journal = intake.journal;
            journal.sign_in_refused(facts, &sign_in.username, device, hint);
            Err(reply)
        };
        let leave = intake.guard().leave(address, &sign_in, intake.clock.now());
        if leave != Leave::Granted {
            if leave == Leave::PausedSlowly {
                tokio::time::sleep(PAUSED_ANSWER).await;
            }
            let hint =
                "wrong passwords in a row, for this name or from this address: it is kept waiting";
            return refused(None, hint, reply::TOO_MANY_GUESSES);
        }
        let checked = self.check(facts, &sign_in, &rules, gone).await?;
        if let Authentication::Granted(_) = checked {
            intake
                .guard()
                .succeeded(address, &sign_in, intake.clock.now());
        } else if let Some(listener) = rules.listeners.get(&facts.listener) {
            // A new user, or a new password: it may be known at the provider already.
            drop(intake.revalidations.try_send(Revalidation {
                account: Arc::clone(&listener.account),
                section: SectionName::Users,
                subject: String::new(),
            }));
        }
        if let Authentication::Granted(identity @ Identity::User { .. }) = &checked
            && facts.tls.is_none()
            && !address.is_loopback()
        {
            let hint = "an SMTP user of the provider signs in over an encrypted connection, or from this \
                        machine: switch STARTTLS on on the device, or give it a credential in [devices] with \
                        this smtp_user";
            return refused(Some(identity.name()), hint, reply::AUTH_NEEDS_TLS);
        }
        match checked {
            Authentication::Granted(identity) => match policy.sign_in(&identity) {
                Ok(()) => {
                    intake.journal.signed_in(facts, Some(identity.name()));
                    Ok(Some(identity))
                }
                Err(refusal) => {
                    let proven = SessionFacts {
                        identity: Some(identity.clone()),
                        ..facts.clone()
                    };
                    intake.keep_refusal(&proven, &rules, Stage::SignIn, &refusal);
                    refused(Some(identity.name()), &refusal.hint, refusal.reply)
                }
            },
            Authentication::Denied(Some(name)) => {
                let hint = "the password is not the one of the configuration or the provider";
                refused(Some(&name), hint, reply::SIGN_IN_REFUSED)
            }
            // Who it is may be known in a moment: no reason for a device to give up.
            Authentication::Denied(None) if rules.awaits_users() => {
                let hint = "the provider's users are not known yet, and no device has this name";
                refused(None, hint, reply::SIGN_IN_UNAVAILABLE)
            }
            Authentication::Denied(None) | Authentication::NeedsSlowCheck => {
                let hint = "no device and no SMTP user whose password is known has this name";
                refused(None, hint, reply::SIGN_IN_REFUSED)
            }
        }
    }

    async fn check(
        &self,
        facts: &SessionFacts,
        sign_in: &SignIn,
        rules: &Rules,
        gone: impl Future<Output = ()>,
    ) -> Result<Authentication, Reply> {
        let (intake, address) = (&self.intake, facts.address());
        let authenticator = intake.authenticator.load_full();
        let quick = authenticator.check(sign_in, rules, &facts.listener);
        let mut queued = None;
        if quick == Authentication::NeedsSlowCheck {
            queued = intake.turns.queue(address);
            if queued.is_none() {
                let hint = "other passwords from this address are being checked: it may try again";
                intake
                    .journal
                    .sign_in_refused(facts, &sign_in.username, None, hint);
                return Err(reply::SIGN_IN_UNAVAILABLE);
            }
        }
        intake
            .guard()
            .attempt(address, &sign_in.username, intake.clock.now());
        let Some(queued) = queued else {
            return Ok(quick);
        };
        let Some(_turn) = queued.turn(gone).await else {
            return Err(reply::SIGN_IN_UNAVAILABLE);
        };
        let sign_in = sign_in.clone();
        tokio::task::spawn_blocking(move || authenticator.check_slowly(&sign_in))
            .await
            .map_err(|_| reply::SIGN_IN_UNAVAILABLE)
    }

    fn sender(&mut self, facts: &SessionFacts, reverse_path: &ReversePath, size: u64) -> Verdict {
        self.transaction = None;
        let intake = &self.intake;
        let rules = intake.rules();
        let policy = Policy::new(&rules, facts, intake.clock.wall());
        let stage = Stage::Sender(reverse_path);
        let refuse = |device: Option<&str>, refusal: Refusal| {
            Verdict::Refuse(intake.refuse(facts, &rules, stage, device, refusal))
        };
        let submitter = match policy.submitter() {
            Ok(submitter) => submitter,
            Err(refusal) => return refuse(None, refusal),
        };
        if let Err(refusal) = policy.sender(&submitter, reverse_path) {
            return refuse(submitter.device.as_deref(), refusal);
        }
        // Last, so that nobody learns of our storage who may not send anyway.
        let lane = submitter.lane(facts.address());
        if let Err(shortage) = intake.space.check(&submitter.account, &lane, size) {
            let reply = match shortage {
                Shortage::Lane { .. } => reply::DEVICE_QUOTA,
                Shortage::Account { .. } => reply::ACCOUNT_QUOTA,
                Shortage::Spool { .. } | Shortage::Disk { .. } => reply::SPOOL_FULL,
            };
            let hint = format!("{shortage}: is the provider reachable? is the account halted?");
            return refuse(submitter.device.as_deref(), Refusal::ours(reply, hint));
        }
        self.transaction = Some(AuthorizedTransaction {
            rules,
            submitter,
            announced: intake.space.announce(size),
            incoming: None,
        });
        Verdict::Accept
    }

    fn recipient(&mut self, facts: &SessionFacts, recipient: &Mailbox) -> Verdict {
        let Some(AuthorizedTransaction {
            rules, submitter, ..
        }) = &self.transaction
        else {
            return Verdict::Refuse(reply::MAIL_FIRST);
        };
        let intake = &self.intake;
        let policy = Policy::new(rules, facts, intake.clock.wall());
        match policy.recipient(submitter, recipient) {
            Ok(()) => Verdict::Accept,
            Err(refusal) => {
                let (stage, device) = (Stage::Recipient(recipient), submitter.device.as_deref());
                Verdict::Refuse(intake.refuse(facts, rules, stage, device, refusal))
            }
        }
    }

    fn begin_data(&mut self) -> Verdict {
        let Some(transaction) = &mut self.transaction else {
            return Verdict::Refuse(reply::MAIL_FIRST);
        };
        transaction.incoming = Some(Incoming {
            head: HeadCollector::new(self.intake.settings.head_octets_max),
            draft: Draft::begin(&self.intake.spool),
            octets: 0,
            trouble: None,
        });
        Verdict::Accept
    }
}

/// From here on the room for a message is looked at with every piece of it.
const UNANNOUNCED_MAX: u64 = 64 * 1024;

/// As long as a guess takes where it tells something.
const PAUSED_ANSWER: Duration = Duration::from_secs(1);
