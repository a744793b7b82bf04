//! Counts of mails.

use serde_json::Number;

use super::super::loose::record;
use super::super::operation::operation;

operation! {
    /// Bounces of the last 30 days.
    "stats" "bounces": Post "/stats/email_bounces", VendorDocs, Read;
    StatsBounces {
        /// SMTP user or 16-character API key username.
        username: Option<String>,
    } -> Bounces
}

operation! {
    /// Plan period and remaining quota.
    "stats" "cycle": Post "/stats/email_cycle", VendorDocs, Read;
    StatsCycle {
    } -> Cycle
}

operation! {
    /// Volume per sender, user, domain or subaccount.
    ///
    /// The key column depends on group_by.
    "stats" "history": Post "/stats/email_history", VendorDocs, Read;
    StatsHistory {
        /// One of `email_address`, `username`, `domain`, `subaccount`. Default: `email_address`.
        group_by: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: 30 days ago 00:00.
        start_date: Option<String>,
        /// ISO-8601 date or date-time, UTC. Inclusive start, exclusive end. Default: now.
        end_date: Option<String>,
        /// Names of subaccounts.
        subaccounts: Option<Vec<String>>,
    } -> History
}

operation! {
    /// Spam complaints of the last 30 days.
    "stats" "spam": Post "/stats/email_spam", VendorDocs, Read;
    StatsSpam {
        /// SMTP user or 16-character API key username.
        username: Option<String>,
    } -> SpamCounts
}

operation! {
    /// Unsubscribes of the last 30 days.
    "stats" "unsubs": Post "/stats/email_unsubs", VendorDocs, Read;
    StatsUnsubs {
        /// SMTP user or 16-character API key username.
        username: Option<String>,
    } -> Unsubscribes
}

operation! {
    /// All of the above in one answer.
    ///
    /// Slower. Unknown request fields such as start_date were accepted live.
    "stats" "summary": Post "/stats/email_summary", VendorDocs, Read;
    StatsSummary {
        /// SMTP user or 16-character API key username.
        username: Option<String>,
    } -> Totals
}

record! {
    /// What the API says of: bounces.
    Bounces {
        /// Emails.
        emails: Number,
        /// Rejects.
        rejects: Number,
        /// Softbounces.
        softbounces: Number,
        /// Hardbounces.
        hardbounces: Number,
        /// Decimal text.
        bounce_percent: String,
    }
}

record! {
    /// What the API says of: cycle.
    Cycle {
        /// Cycle start.
        cycle_start: String,
        /// Cycle end.
        cycle_end: String,
        /// Cycle used.
        cycle_used: Number,
        /// Cycle remaining.
        cycle_remaining: Number,
        /// Cycle max.
        cycle_max: Number,
    }
}

record! {
    /// What the API says of: history history entry.
    HistoryHistoryEntry {
        /// The address.
        email_address: String,
        /// The SMTP user, or the first 16 characters of an API key.
        username: String,
        /// Free text for people.
        description: String,
        /// The domain.
        domain: String,
        /// Domain verified.
        domain_verified: bool,
        /// Subaccount.
        subaccount: String,
        /// Used.
        used: Number,
        /// Bytecount.
        bytecount: Number,
        /// Avgsize.
        avgsize: Number,
        /// Lastip.
        lastip: String,
        /// Bounces.
        bounces: Number,
        /// Clicks.
        clicks: Number,
        /// Opens.
        opens: Number,
        /// Rejects.
        rejects: Number,
        /// Spam.
        spam: Number,
        /// Unsubscribes.
        unsubscribes: Number,
        /// Bounce percent.
        bounce_percent: Number,
        /// Open percent.
        open_percent: Number,
        /// Reject percent.
        reject_percent: Number,
        /// Spam percent.
        spam_percent: Number,
        /// Unsubscribe percent.
        unsubscribe_percent: Number,
    }
}

record! {
    /// What the API says of: history.
    History {
        /// Count.
        count: Number,
        /// Bounce percent total.
        bounce_percent_total: Number,
        /// Open percent total.
        open_percent_total: Number,
        /// Reject percent total.
        reject_percent_total: Number,
        /// Spam percent total.
        spam_percent_total: Number,
        /// Unsubscribe percent total.
        unsubscribe_percent_total: Number,
        /// History.
        history: Vec<HistoryHistoryEntry>,
    }
}

record! {
    /// What the API says of: spam counts.
    SpamCounts {
        /// Emails.
        emails: Number,
        /// Rejects.
        rejects: Number,
        /// Spams.
        spams: Number,
        /// Spam percent.
        spam_percent: String,
    }
}

record! {
    /// What the API says of: unsubscribes.
    Unsubscribes {
        /// Emails.
        emails: Number,
        /// Rejects.
        rejects: Number,
        /// Unsubscribes.
        unsubscribes: Number,
        /// Unsubscribe percent.
        unsubscribe_percent: String,
    }
}

record! {
    /// What the API says of: totals.
    Totals {
        /// Cycle used.
        cycle_used: Number,
        /// Cycle remaining.
        cycle_remaining: Number,
        /// Cycle max.
        cycle_max: Number,
        /// Email count.
        email_count: Number,
        /// Softbounces.
        softbounces: Number,
        /// Hardbounces.
        hardbounces: Number,
        /// Rejects.
        rejects: Number,
        /// Spam emails.
        spam_emails: Number,
        /// Unsubscribes.
        unsubscribes: Number,
        /// Opens.
        opens: Number,
        /// Clicks.
        clicks: Number,
        /// Bounce rejects.
        bounce_rejects: Number,
        /// Spam rejects.
        spam_rejects: Number,
        /// Cycle start.
        cycle_start: String,
        /// Cycle end.
        cycle_end: String,
        /// Bounce percent.
        bounce_percent: String,
        /// Spam percent.
        spam_percent: String,
        /// Unsubscribe percent.
        unsubscribe_percent: String,
    }
}
