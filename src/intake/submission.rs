//! The end of data: from a complete draft to a durable message, or to the reason why not.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::mail::{
    Envelope, HeaderSender, Recipients, Reply, ReversePath, SessionFacts, SpoolId, reply,
};
use crate::message::{
    Head, HeaderView, Passes, Plan, PlanError, TraceFields, canonical_edits, gateway_id_edits,
    header_sender, override_edits, plan, trace_headers,
};
use crate::policy::{Policy, Refusal, SenderAction};
use crate::rules::{Rules, Submitter};
use crate::session::Received;
use crate::spool::{Origin, Submission};

use super::context::Intake;
use super::reception::Incoming;
use super::refusals::Stage;

impl Intake {
    /// Decides about a complete message and stores it. The reply is positive only when it is durable.
    pub(super) async fn submit(
        &self,
        facts: &SessionFacts,
        rules: &Rules,
        submitter: &Submitter,
        incoming: Incoming,
        received: Received,
    ) -> Reply {
        let Incoming {
            head, mut draft, ..
        } = incoming;
        let Ok(Head {
            block,
            body,
            mended,
        }) = head.finish()
        else {
            return self.header_too_big(facts, submitter);
        };
        if let Err(error) = draft.write(Bytes::from(body)).await {
            self.journal.spool_failed("storing message content", &error);
            return reply::SPOOL_UNAVAILABLE;
        }
        let received_at = self.clock.wall();
        let head = Bytes::from(block);
        let view = HeaderView::new(&head);
        let header = header_sender(&view);
        let mended = words(&mended, &received);
        let submission = self.prepare(
            received_at,
            facts,
            rules,
            submitter,
            (&head, &view, &header),
            &received,
            &mended,
        );
        let submission = match submission {
            Ok(submission) => submission,
            Err(refusal) => {
                let stage = Stage::Message(&received.envelope.reverse_path, &header);
                return self.refuse(facts, rules, stage, submitter.device.as_deref(), refusal);
            }
        };
        let id = submission.id;
        let envelope = submission.envelope.clone();
        let (size, dispatches) = (submission.size, submission.dispatches.len());
        match draft.commit(submission).await {
            Ok(()) => {
                self.journal
                    .spooled(&id, facts, submitter, &envelope, size, dispatches, &mended);
                reply::queued(&id)
            }
            Err(error) => {
                self.journal.spool_failed("storing a message", &error);
                reply::SPOOL_UNAVAILABLE
            }
        }
    }

    /// Says so to both sides.
    pub(super) fn header_too_big(&self, facts: &SessionFacts, submitter: &Submitter) -> Reply {
        let reply = reply::header_too_big(self.settings.head_octets_max);
        let hint = "no mail program writes such a header: a faulty client, or an attack";
        let device = submitter.device.as_deref();
        self.journal.refused(facts, "message", device, &reply, hint);
        reply
    }

    /// Everything that is decided from envelope and header block.
    #[allow(clippy::too_many_arguments, reason = "all that is known of a message")]
    fn prepare(
        &self,
        received_at: Timestamp,
        facts: &SessionFacts,
        rules: &Rules,
        submitter: &Submitter,
        (head, view, header): (&Bytes, &HeaderView<'_>, &HeaderSender),
        received: &Received,
        mended: &[String],
    ) -> Result<Submission, Refusal> {
        let id = SpoolId::new(received_at.0);
        let given = &received.envelope;
        let policy = Policy::new(rules, facts, received_at);
        let action = policy.message(submitter, &given.reverse_path, header)?;
        let passes = Passes::of(view, &self.settings.hostname);
        if passes.exceed(self.settings.loops) {
            return Err(looping(passes, &given.recipients));
        }
        let mut reverse_path = given.reverse_path.clone();
        let mut base = gateway_id_edits(view);
        let mut missing_sender = None;
        match &action {
            SenderAction::Keep => {}
            SenderAction::Canonical => base.extend(canonical_edits(view)),
            // A From field without an address is replaced, a missing one is added in front.
            SenderAction::Complete(sender) if view.has("From") => {
                base.extend(override_edits(view, sender))
            }
            SenderAction::Complete(sender) => {
                base.extend(canonical_edits(view));
                missing_sender = Some(sender);
            }
            SenderAction::Override(sender) => {
                base.extend(override_edits(view, sender));
                reverse_path = ReversePath::Mailbox(sender.clone());
            }
        }
        let Plan {
            mut shared,
            dispatches,
        } = plan(view, &given.recipients, &base, self.settings.plan).map_err(unplanned)?;
        let origin = origin(facts, submitter, mended, &action, header);
        shared.mended = mended.to_vec();
        let prefix = trace_headers(
            view,
            &TraceFields {
                id,
                hostname: &self.settings.hostname,
                facts,
                at: received_at,
                sender: missing_sender,
                detail: self.settings.received,
            },
        );
        Ok(Submission {
            id,
            received_at,
            account: submitter.account.to_string(),
            device: submitter.device.as_deref().map(str::to_owned),
            lane: submitter.lane(facts.address()),
            origin,
            envelope: Envelope {
                reverse_path,
                recipients: given.recipients.clone(),
            },
            prefix: Bytes::from(prefix),
            head: head.clone(),
            size: received.size,
            shared,
            dispatches,
        })
    }
}

fn looping(passes: Passes, recipients: &Recipients) -> Refusal {
    let hint = format!(
        "mail to {} or another recipient is forwarded back to this gateway: end that; headers.max_received and \
         headers.max_passes are the limits",
        recipients.as_slice()[0]
    );
    Refusal::ours(reply::looping(passes.received, passes.here), hint)
}

/// What was changed in a message before it was stored.
fn words(head: &[&'static str], received: &Received) -> Vec<String> {
    let stream = [
        (received.nul_stripped, "nul_stripped"),
        (received.line_ends_mended, "line_ends_mended"),
    ];
    let stream = stream
        .into_iter()
        .filter_map(|(needed, word)| needed.then_some(word));
    stream
        .chain(head.iter().copied())
        .map(str::to_owned)
        .collect()
}

fn unplanned(error: PlanError) -> Refusal {
    let (reply, hint) = match error {
        PlanError::Differing(addresses) => (
            reply::recipients_mismatch(&addresses),
            "envelope.mismatch is \"refuse\", and To/Cc and RCPT differ",
        ),
        PlanError::TooManyFields => (
            reply::TOO_MANY_ADDRESS_HEADERS,
            "no mail program writes such a header: a faulty client, or an attack",
        ),
    };
    Refusal::ours(reply, hint)
}

fn origin(
    facts: &SessionFacts,
    submitter: &Submitter,
    mended: &[String],
    action: &SenderAction,
    header: &HeaderSender,
) -> Origin {
    let mut accepted_with = mended.to_vec();
    let mut note = |needed: bool, word: &str| {
        if needed {
            accepted_with.push(word.to_owned());
        }
    };
    note(matches!(action, SenderAction::Override(_)), "from_override");
    note(matches!(action, SenderAction::Complete(_)), "from_added");
    note(matches!(action, SenderAction::Canonical), "from_rewritten");
    let doubtful = matches!(
        header,
        HeaderSender::Unreadable(_) | HeaderSender::Doubtful(..)
    );
    note(
        doubtful && matches!(action, SenderAction::Keep),
        "from_unreadable",
    );
    Origin {
        listener: facts.listener.to_string(),
        peer: facts.address(),
        helo: facts.helo.clone(),
        protocol: facts.protocol().to_owned(),
        tls: facts.tls.as_ref().map(|tls| tls.version.to_owned()),
        basis: submitter.basis.to_string(),
        user: submitter.user.as_deref().map(str::to_owned),
        session: facts.session.to_string(),
        accepted_with,
    }
}
