//! The page at `/`: what arrived, for whoever develops against the simulator.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::World;
use super::desks::header;

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    api_url: String,
    count: usize,
    mails: Vec<Mail>,
}

struct Mail {
    at: String,
    email_id: String,
    sender: String,
    recipients: String,
    rejected: String,
    subject: String,
}

/// The newest mails.
pub(super) async fn show(State(world): State<Arc<World>>) -> Response {
    let deliveries = world.mailroom().deliveries();
    let mail = |delivery: &super::Delivery| Mail {
        at: delivery.at.to_string(),
        email_id: delivery.email_id.clone(),
        sender: delivery.sender.clone(),
        recipients: delivery.recipients.join(", "),
        rejected: delivery.rejected.join(", "),
        subject: header(delivery, "Subject"),
    };
    let page = Inbox {
        api_url: format!("{}/v3", world.base_url()),
        count: deliveries.len(),
        mails: deliveries.iter().rev().take(SHOWN_MAX).map(mail).collect(),
    };
    match page.render() {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot draw the inbox");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const SHOWN_MAX: usize = 200;
