//! The provider's HTTP API, typed: an endpoint is a type, and there is one way to call it.
//!
//! What an error means for the caller is [`ApiError::disposition`]'s business alone; nobody else
//! looks at statuses or texts. The key never shows in an error.

mod activity;
mod client;
mod email;
mod error;
mod keys;

pub use activity::{ActivityAnswer, ActivityEvent, ActivityRequest, ActivitySearch};
pub use client::{Account, Deadlines, Endpoint, Provider, Upload};
pub use email::{EmailMime, EmailSend, SendRequest, SendResult};
pub use error::{ApiError, Disposition, Refusal};
pub use keys::{ApiKeyPermissions, Empty, Permissions};
