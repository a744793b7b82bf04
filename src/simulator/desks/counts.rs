//! Statistics: counts of what was delivered, rejected and happened later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::World;
use super::super::account::object;
use super::super::happenings::{Happening, HappeningKind};
use super::super::mailroom::Delivery;
use super::Call;
use super::reports::within;
use crate::clock::Timestamp;

/// Mails, each with what happened to it.
pub(super) struct Seen(Vec<(Delivery, Vec<Happening>)>);

impl Seen {
    fn of(world: &World, subaccount: Option<&str>) -> Self {
        let mut seen = Self::all(world);
        seen.0
            .retain(|(delivery, _)| delivery.subaccount.as_deref() == subaccount);
        seen
    }

    fn all(world: &World) -> Self {
        let mailroom = world.mailroom();
        let mut happenings: Vec<Happening> = mailroom.happenings();
        let deliveries = mailroom.deliveries().into_iter();
        Self(
            deliveries
                .map(|delivery| {
                    let of_it = |happening: &mut Happening| happening.email_id == delivery.email_id;
                    let later = happenings.extract_if(.., of_it).collect();
                    (delivery, later)
                })
                .collect(),
        )
    }

    fn counts(&self, wanted: impl Fn(&Delivery) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (delivery, later) in self.0.iter().filter(|(delivery, _)| wanted(delivery)) {
            counts.add(delivery, later);
        }
        counts
    }
}

#[derive(Default)]
struct Counts {
    used: usize,
    octets: usize,
    rejects: usize,
    spam_rejects: usize,
    soft: usize,
    hard: usize,
    opens: usize,
    clicks: usize,
    spams: usize,
    unsubscribes: usize,
}

impl Counts {
    fn add(&mut self, delivery: &Delivery, later: &[Happening]) {
        // Each recipient counts as one mail of the plan (provider-api 5), in a sandbox, too (section 12).
        let in_vain = if delivery.sandboxed {
            delivery.rejected.len()
        } else {
            0
        };
        self.used += delivery.recipients.len() + in_vain;
        self.octets += delivery.size;
        self.rejects += delivery.rejected.len();
        if delivery.objection.ends_with("(spam)") {
            self.spam_rejects += delivery.rejected.len();
        }
        for happening in later {
            *match happening.event {
                HappeningKind::HardBounce => &mut self.hard,
                HappeningKind::SoftBounce => &mut self.soft,
                HappeningKind::Open => &mut self.opens,
                HappeningKind::Click => &mut self.clicks,
                HappeningKind::Spam => &mut self.spams,
                HappeningKind::Unsubscribe => &mut self.unsubscribes,
                HappeningKind::Resubscribe => continue,
            } += 1;
        }
    }

    fn percent(&self, part: usize) -> String {
        let tenthousandths = part * 10_000 / self.used.max(1);
        format!("{}.{:02}", tenthousandths / 100, tenthousandths % 100)
    }
}

/// Volume by sender, user, domain or subaccount.
pub(super) fn history(world: &World, call: &Call) -> Value {
    let by = match call.text("group_by") {
        "" => "email_address",
        by => by,
    };
    let name_of = |delivery: &Delivery| match by {
        "username" => delivery.username.clone(),
        "domain" => {
            let domain = delivery.sender.rsplit('@').next();
            domain.unwrap_or_default().to_owned()
        }
        "subaccount" => delivery.subaccount.clone().unwrap_or_default(),
        _ => delivery.sender.clone(),
    };
    let below = call.texts("subaccounts");
    // The main account sees those below it where it asks for them.
    let all = call.subaccount.is_none() && (by == "subaccount" || !below.is_empty());
    let seen = if all {
        Seen::all(world)
    } else {
        Seen::of(world, call.subaccount.as_deref())
    };
    let wanted = |delivery: &Delivery| {
        let of = delivery.subaccount.clone().unwrap_or_default();
        within(delivery.at, call) && (below.is_empty() || below.contains(&of))
    };
    let mut names: Vec<String> = Vec::new();
    for (delivery, _) in seen.0.iter().filter(|(delivery, _)| wanted(delivery)) {
        let name = name_of(delivery);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let row = |name: &String| {
        let counts = seen.counts(|delivery| wanted(delivery) && name_of(delivery) == *name);
        json!({
            by: name, "used": counts.used, "bytecount": counts.octets,
            "avgsize": counts.octets / counts.used.max(1), "lastip": "127.0.0.1",
            "bounces": counts.hard + counts.soft, "clicks": counts.clicks, "opens": counts.opens,
            "rejects": counts.rejects, "spam": counts.spams, "unsubscribes": counts.unsubscribes,
        })
    };
    json!({ "count": names.len(), "history": names.iter().map(row).collect::<Vec<_>>() })
}

/// The counts of a month, or of a user's last 30 days.
pub(super) fn totals(world: &World, call: &Call) -> Value {
    let user = call.text("username");
    let seen = Seen::of(world, call.subaccount.as_deref());
    let since = call.at.before(STATS_DAYS);
    let counts = seen
        .counts(|delivery| (user.is_empty() || delivery.username == user) && delivery.at >= since);
    let month: String = call.at.to_string().chars().take(7).collect();
    let of_cycle = |delivery: &Delivery| delivery.at.to_string().starts_with(&month);
    let used = seen.counts(of_cycle).used;
    let cycle = json!({
        "cycle_start": format!("{month}-01 00:00:00+00:00"),
        "cycle_end": format!("{} 00:00:00+00:00", next_month(call.at)),
        "cycle_used": used,
        "cycle_remaining": PLAN.saturating_sub(used),
        "cycle_max": PLAN,
    });
    let base = || object(json!({ "emails": counts.used, "rejects": counts.rejects }));
    let with = |mut members: Map<String, Value>, more: Value| {
        members.extend(object(more));
        Value::Object(members)
    };
    let bounces = json!({
        "softbounces": counts.soft, "hardbounces": counts.hard,
        "bounce_percent": counts.percent(counts.soft + counts.hard),
    });
    let (spam, unsubscribe) = (
        counts.percent(counts.spams),
        counts.percent(counts.unsubscribes),
    );
    match call.operation.path {
        "/stats/email_cycle" => cycle,
        "/stats/email_bounces" => with(base(), bounces),
        "/stats/email_spam" => with(
            base(),
            json!({ "spams": counts.spams, "spam_percent": spam }),
        ),
        "/stats/email_unsubs" => with(
            base(),
            json!({ "unsubscribes": counts.unsubscribes, "unsubscribe_percent": unsubscribe }),
        ),
        _ => {
            let mut all = object(cycle);
            all.extend(object(bounces));
            with(
                all,
                json!({
                    "email_count": counts.used, "rejects": counts.rejects,
                    "bounce_rejects": counts.rejects - counts.spam_rejects,
                    "spam_rejects": counts.spam_rejects, "spam_emails": counts.spams,
                    "spam_percent": spam, "unsubscribes": counts.unsubscribes,
                    "unsubscribe_percent": unsubscribe, "opens": counts.opens,
                    "clicks": counts.clicks,
                }),
            )
        }
    }
}

/// What the accounts below the main one have used.
pub(in super::super) fn used_below(world: &World) -> BTreeMap<String, usize> {
    let mut used = BTreeMap::new();
    for delivery in world.mailroom().deliveries() {
        if let Some(subaccount) = &delivery.subaccount {
            let mut counts = Counts::default();
            counts.add(&delivery, &[]);
            *used.entry(subaccount.clone()).or_default() += counts.used;
        }
    }
    used
}

/// The first day of the month behind this one.
fn next_month(at: Timestamp) -> String {
    let text = at.to_string();
    let year: u32 = text
        .get(..4)
        .and_then(|year| year.parse().ok())
        .unwrap_or(0);
    let month: u32 = text
        .get(5..7)
        .and_then(|month| month.parse().ok())
        .unwrap_or(0);
    if month >= 12 {
        format!("{}-01-01", year + 1)
    } else {
        format!("{year}-{:02}-01", month + 1)
    }
}

/// Mails of the sample plan.
const PLAN: usize = 10_000;
const STATS_DAYS: Duration = Duration::from_secs(30 * 86_400);
