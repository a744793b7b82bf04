//! A message on its way in: streams into the store, and becomes a spooled message in one commit.
//!
//! Up to 64 KiB stay in memory, so that a small message costs one write. What is longer goes to the
//! store in chunks of that size, at most one of them in memory. Dropping a draft discards it.

use bytes::{Bytes, BytesMut};

use super::record::{MessageKey, Submission};
use super::store::SpoolError;
use super::writer::Spool;

/// The body of a message that is not complete.
#[derive(Debug)]
pub struct Draft {
    spool: Spool,
    key: MessageKey,
    buffer: BytesMut,
    chunks: u32,
    octets: u64,
}

impl Draft {
    /// An empty draft.
    pub fn begin(spool: &Spool) -> Self {
        Self {
            spool: spool.clone(),
            key: spool.next_key(),
            buffer: BytesMut::new(),
            chunks: 0,
            octets: 0,
        }
    }

    /// Takes a piece of the body; waits when the disk is slower than the client.
    ///
    /// # Errors
    /// When the store can't take it; the draft is of no use afterwards.
    pub async fn write(&mut self, octets: Bytes) -> Result<(), SpoolError> {
        self.octets += octets.len() as u64;
        let mut rest = octets;
        while self.buffer.len() + rest.len() > CHUNK_OCTETS {
            let piece = rest.split_to(CHUNK_OCTETS - self.buffer.len());
            self.buffer.extend_from_slice(&piece);
            let chunk = self.buffer.split().freeze();
            self.spool
                .append_draft(self.key, self.chunks, chunk)
                .await?;
            self.chunks += 1;
        }
        self.buffer.extend_from_slice(&rest);
        Ok(())
    }

    /// Makes the message durable. When this returns, it is ours to deliver.
    ///
    /// # Errors
    /// When it is not durable; nothing of it remains then.
    pub async fn commit(mut self, submission: Submission) -> Result<(), SpoolError> {
        let rest = self.buffer.split().freeze();
        let done = self
            .spool
            .insert(self.key, submission, self.chunks, self.octets, rest)
            .await;
        if done.is_ok() {
            // Nothing left to discard.
            self.chunks = 0;
        }
        done
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.chunks > 0 {
            self.spool.discard(self.key);
        }
    }
}

/// Octets kept in memory, and of a stored chunk.
pub(super) const CHUNK_OCTETS: usize = 64 * 1024;
