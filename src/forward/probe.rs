//! A call that costs nothing, to see whether the account's key works.

use crate::journal::ErrorChain;
use crate::mail::Diagnostic;
use crate::provider::groups::api_keys::ViewPermissions;
use crate::provider::{ApiError, Disposition, Provider};
use crate::resilience::AccountSignal;

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Probed {
    /// The provider knows the key.
    Works,
    /// It does not, or has another reason of its own.
    Refused(AccountSignal, Diagnostic),
    /// Somebody refuses this call, too, which says nothing about the key: only an attempt can tell.
    Unclear,
}

/// Asks what the key may do. The list itself decides nothing: how it is written is not known well enough.
pub(super) async fn probe(provider: &Provider) -> Probed {
    let error = match provider.call(&ViewPermissions {}).await {
        // Answered, though perhaps not as documented.
        Ok(_) | Err(ApiError::Unintelligible { .. }) => return Probed::Works,
        Err(error) => error,
    };
    let effect = match error.disposition() {
        Disposition::Halt => AccountSignal::KeyRefused,
        Disposition::Quota => AccountSignal::Quota,
        Disposition::Throttle(wait) => AccountSignal::Throttle(wait),
        Disposition::Defer | Disposition::Unknown => AccountSignal::Unavailable,
        // Such as a proxy that lets nothing but mail through.
        Disposition::Suspect | Disposition::Bounce => return Probed::Unclear,
    };
    Probed::Refused(effect, Diagnostic::new(ErrorChain(&error).to_string()))
}
