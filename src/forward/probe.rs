//! A call that costs nothing, to see whether the account's key works.

use crate::journal::Chain;
use crate::mail::Diagnostic;
use crate::provider::groups::api_keys::ViewPermissions;
use crate::provider::groups::email::SendMimeEmail;
use crate::provider::{ApiError, Disposition, Endpoint as _, Provider};

use super::classify::AccountEffect;

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Probed {
    /// The key works, or nothing speaks against it: an attempt will tell.
    Works,
    /// It does not.
    Refused(AccountEffect, Diagnostic),
}

/// Asks what the key may do.
pub(super) async fn probe(provider: &Provider) -> Probed {
    let error = match provider.call(&ViewPermissions {}).await {
        Ok(permissions) if permissions.cover(SendMimeEmail::PATH) => return Probed::Works,
        Ok(_) => {
            let why = "the key has no permission for /email/mime";
            return Probed::Refused(AccountEffect::Halt, Diagnostic::new(why));
        }
        // Answered, but not as documented.
        Err(ApiError::Unintelligible(_)) => return Probed::Works,
        Err(error) => error,
    };
    let effect = match error.disposition() {
        Disposition::Halt | Disposition::Suspect => AccountEffect::Halt,
        Disposition::Quota => AccountEffect::Quota,
        Disposition::Throttle(wait) => AccountEffect::Throttle(wait),
        Disposition::Defer | Disposition::Unknown => AccountEffect::Trouble,
        // The call itself is not known there; that is not the key's fault.
        Disposition::Bounce => return Probed::Works,
    };
    Probed::Refused(effect, Diagnostic::new(Chain(&error).to_string()))
}
