//! The shapes of answers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// A success with this `data`.
pub(super) fn data(data: Value) -> Response {
    Json(json!({ "request_id": request_id(), "data": data })).into_response()
}

/// A refusal in the documented shape.
pub(super) fn error(status: StatusCode, code: &str, error: &str) -> Response {
    let code = format!("E_ApiResponseCodes.{code}");
    let data = json!({ "error": error, "error_code": code });
    (
        status,
        Json(json!({ "request_id": request_id(), "data": data })),
    )
        .into_response()
}

/// A request that does not fit, with the field at fault.
pub(super) fn invalid(field: &str, message: &str) -> Response {
    let data = json!({
        "error": "The JSON payload does not fit this call.",
        "error_code": "E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD",
        "field_validation_errors": { "fieldname": field, "message": message },
    });
    let body = json!({ "request_id": request_id(), "data": data });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// No such operation.
pub(super) async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "API_EXCEPTION", "No such endpoint")
}

fn request_id() -> String {
    Uuid::now_v7().to_string()
}
