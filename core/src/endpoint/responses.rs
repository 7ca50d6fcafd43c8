//! Answers that belong to no connection, until they are sent.

use std::collections::{BTreeMap, VecDeque};

use super::packet::Transmit;
use super::shares::Block;

/// Answers (refusals, retries, version negotiation, stateless resets) held until they
/// are sent.
pub(super) const MAX_RESPONSES: usize = 64;

/// What waits to be sent, the oldest first, and how many of it go to each network.
#[derive(Debug, Default)]
pub(super) struct Responses {
    queue: VecDeque<(Block, Transmit, Vec<u8>)>,
    counts: BTreeMap<Block, usize>,
}

impl Responses {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds an answer. When too many wait, whoever would have most of them loses the
    /// newest: its buffer is given back. O(answers) then, of which there are at most
    /// [`MAX_RESPONSES`].
    pub(super) fn push(
        &mut self,
        to: Block,
        transmit: Transmit,
        contents: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let mut dropped = None;
        if self.queue.len() >= MAX_RESPONSES {
            let own = self.counts.get(&to).copied().unwrap_or(0);
            let largest = self.counts.iter().max_by_key(|(_, count)| **count);
            let at = largest
                .filter(|(_, count)| **count > own + 1)
                .and_then(|(largest, _)| self.queue.iter().rposition(|(to, ..)| to == largest));
            let Some((loser, _, buffer)) = at.and_then(|at| self.queue.remove(at)) else {
                return Some(contents);
            };
            self.uncount(loser);
            dropped = Some(buffer);
        }
        *self.counts.entry(to).or_default() += 1;
        self.queue.push_back((to, transmit, contents));
        dropped
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<(Transmit, Vec<u8>)> {
        let (to, transmit, contents) = self.queue.pop_front()?;
        self.uncount(to);
        Some((transmit, contents))
    }

    fn uncount(&mut self, to: Block) {
        if let Some(count) = self.counts.get_mut(&to) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(queue: &mut Responses, to: u32) -> bool {
        let transmit = Transmit {
            remote: ([10, 0, 0, 1], 1).into(),
            local_ip: None,
            ecn: None,
            size: 1,
            segment_size: None,
            owner: None,
        };
        queue
            .push(Block::V4(to), transmit, vec![to as u8])
            .is_some()
    }

    #[test]
    fn a_flood_loses_its_own_answers() {
        let mut queue = Responses::default();
        for _ in 0..MAX_RESPONSES {
            assert!(!answer(&mut queue, 1), "there is room");
        }
        assert!(answer(&mut queue, 1), "one too many");
        // Others get in, each in the place of one of the flood's.
        for other in 2..10 {
            assert!(answer(&mut queue, other));
        }
        assert!(answer(&mut queue, 1));
        let left: Vec<u8> = std::iter::from_fn(|| queue.pop())
            .filter_map(|(_, contents)| contents.first().copied())
            .collect();
        let flood = vec![1; MAX_RESPONSES - 8];
        assert_eq!(left, [flood, (2..10).collect()].concat());
        assert!(queue.is_empty() && queue.counts.is_empty());
    }

    #[test]
    fn where_all_have_the_same_the_newest_is_lost() {
        let mut queue = Responses::default();
        for other in 0..MAX_RESPONSES as u32 {
            assert!(!answer(&mut queue, other));
        }
        assert!(answer(&mut queue, 1000));
        let first = queue.pop().map(|(_, contents)| contents);
        assert_eq!(first, Some(vec![0]));
        assert!(!queue.counts.contains_key(&Block::V4(1000)));
    }
}
