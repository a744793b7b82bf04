//! Who is next: devices take turns, so that a burst of one does not hold up another's alarm.
//!
//! A lane is a device, or the address of a client without one. A lease takes as much from every lane
//! with due mail, then fills up with what the longer ones have left; inside a lane the oldest due time
//! is first. The next lease begins behind the lane that this one ended with, so that no name is
//! favoured when there are more lanes than places.

use std::collections::{HashMap, VecDeque};

use crate::clock::Timestamp;

use super::record::{DispatchKey, Leased, State};
use super::store::{DueBatch, Lane, SpoolError, Store};

/// Where the last lease of each account ended.
#[derive(Debug, Default)]
pub(super) struct FairScheduler(HashMap<(String, State), String>);

impl FairScheduler {
    /// Due dispatches in fair order, at most `limit`.
    pub(super) fn next(
        &mut self,
        store: &mut dyn Store,
        (account, state): (&str, State),
        now: Timestamp,
        limit: usize,
        except: &[String],
        skip: &dyn Fn(DispatchKey) -> bool,
    ) -> Result<DueBatch, SpoolError> {
        let mut lanes = store.due_lanes(account, state, now)?;
        lanes.retain(|lane| !except.contains(lane));
        let turn = (account.to_owned(), state);
        if let Some(last) = self.0.get(&turn) {
            let behind = lanes.partition_point(|lane| lane <= last);
            lanes.rotate_left(behind);
        }
        let share = limit.div_ceil(lanes.len().max(1));
        let mut left = limit;
        let mut batch = DueBatch::default();
        let mut taken: Vec<(String, VecDeque<Leased>)> = Vec::new();
        for lane in lanes {
            if left == 0 {
                break;
            }
            let of = Lane {
                account,
                state,
                name: &lane,
            };
            let found = store.due(of, now, share.min(left), skip)?;
            left -= found.leased.len();
            batch.damaged.extend(found.damaged);
            batch.unreadable.extend(found.unreadable);
            if !found.leased.is_empty() {
                self.0.insert(turn.clone(), lane.clone());
                taken.push((lane, found.leased.into()));
            }
        }
        for (lane, leased) in taken.iter_mut().filter(|(_, leased)| leased.len() == share) {
            if left == 0 {
                break;
            }
            let known: Vec<DispatchKey> = leased.iter().map(|leased| leased.key).collect();
            let skip = |key| known.contains(&key) || skip(key);
            let of = Lane {
                account,
                state,
                name: lane,
            };
            let more = store.due(of, now, left, &skip)?;
            left -= more.leased.len();
            batch.damaged.extend(more.damaged);
            batch.unreadable.extend(more.unreadable);
            leased.extend(more.leased);
        }
        while !taken.is_empty() {
            for (_, leased) in &mut taken {
                batch.leased.extend(leased.pop_front());
            }
            taken.retain(|(_, leased)| !leased.is_empty());
        }
        Ok(batch)
    }
}
