//! The SMTP doors: sockets, TLS, connection limits, and the loop that drives a session.
//!
//! `driver.rs` is the only file of SMTP that knows the runtime's sockets. A listener admits a bounded
//! number of connections in all and per address; what is over is told 421 and closed at once.

mod acceptor;
mod certificate;
mod driver;
mod places;
mod transport;

pub use acceptor::{ListenError, Listener, ListenerSettings, TlsMode, try_bind};
pub use certificate::{Certificate, CertificateError};
