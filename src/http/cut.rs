//! Connections that a handler can cut, as a failing network would.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cuts the connection that a request came on; a handler extracts `ConnectInfo<Cut>`.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    /// From here on nothing is read or written; the client sees the connection close.
    pub fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}
