//! `/api_keys/*`: what a key may do.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::World;
use super::answer;
use super::send::admit;

/// Every key of the sample account may call everything.
pub(super) async fn permissions(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match admit(&world, &headers, body).await {
        Ok(_) => answer::data(json!(["*"])),
        Err(refusal) => refusal,
    }
}
