//! Promise 6: rules come from the provider and work offline.
