//! The provider's HTTP API, typed: an operation is a type, and there is one way to call it.
//!
//! ```no_run
//! use smtp2go_gateway::provider::groups::users::ViewSmtpUsers;
//! use smtp2go_gateway::provider::{ApiError, Provider};
//!
//! async fn blocked(provider: &Provider) -> Result<Vec<String>, ApiError> {
//!     let users = provider.call(&ViewSmtpUsers::default()).await?;
//!     let users = users.results.unwrap_or_default().into_iter();
//!     let blocked = users.filter(|user| user.status.as_deref() == Some("blocked"));
//!     Ok(blocked.filter_map(|user| user.username).collect())
//! }
//! ```
//!
//! What an error means for the caller is [`ApiError::disposition`]'s business alone; nobody else
//! looks at statuses or texts. The key never shows in an error.

mod answer;
mod client;
mod dates;
mod email;
mod error;
pub mod groups;
mod keys;
mod loose;
mod operation;
mod pages;
mod period;
mod segments;

pub use client::{Account, Deadlines, Provider, Upload};
pub use dates::read_date;
pub use email::SendResult;
pub use error::{ApiError, Disposition, Refusal};
pub use groups::operations;
pub use keys::Permissions;
pub use loose::{Concealed, List, Loose, Overfull, Room};
pub use operation::{Confidence, Effect, Endpoint, Field, Kind, Member, Method, Operation};
pub use pages::Paged;
pub use period::read_period;
pub use segments::sms_segments;
