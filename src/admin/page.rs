//! The page for people.

use askama::Template;

use crate::spool::{Counts, QueueRow, State};

#[derive(Template)]
#[template(path = "front.html")]
struct Front<'a> {
    hostname: &'a str,
    counts: Vec<(&'static str, u64)>,
    rows: &'a [QueueRow],
}

/// What waits, and the newest messages.
pub(super) fn front(hostname: &str, counts: &Counts, rows: &[QueueRow]) -> String {
    let open = State::ALL.into_iter().filter(|state| !state.is_settled());
    let page = Front {
        hostname,
        counts: open.map(|state| (state.word(), counts.of(state))).collect(),
        rows,
    };
    page.render()
        .unwrap_or_else(|error| format!("the page can't be shown: {error}"))
}
