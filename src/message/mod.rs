//! Reads a message's header block and plans who gets it; never touches the body.
//!
//! The provider takes recipients from the headers, the envelope says who they should be. This room
//! makes both agree ([`plan`]) with the smallest possible change, and none at all where they agree
//! already. It works on the header block alone, in memory and bounded; content passes by.
//!
//! # Invariants
//! - The recipients of all dispatches together are exactly the envelope's, each once.
//! - A header is trusted to reach somebody only where two independent readers agree on it.
//!
//! RFC 5322

mod addresses;
mod fields;
mod head;
mod plan;
mod sender;
mod trace;
mod words;

pub use addresses::{AddressList, every_address, read_addresses};
pub use fields::{Field, HeaderView};
pub use head::{Head, HeadCollector, HeadTooBig};
pub use plan::{Plan, PlanError, PlanSettings, plan};
pub use sender::{canonical_edits, header_sender, override_edits};
pub use trace::{GATEWAY_ID, LoopLimits, Passes, TraceFields, gateway_id_edits, trace_headers};
