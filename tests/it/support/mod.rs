//! What tests share.

pub(crate) mod api;
pub(crate) mod client;
pub(crate) mod golden;
pub(crate) mod process;
pub(crate) mod site;

use std::time::Duration;

/// Waits until `look` finds something; a deadline, not a guess, ends it.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(30), waiting).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within 30 s"),
    }
}
