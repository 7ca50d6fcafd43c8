//! A short queue that networks share.

use std::collections::{BTreeMap, VecDeque};

use super::shares::Block;

/// Connection attempts that wait for their turn.
pub(super) const MAX_ATTEMPTS: usize = 256;

/// What waits, the oldest first, and how much of it each network has.
#[derive(Debug)]
pub(super) struct Fair<T> {
    queue: VecDeque<(Block, T)>,
    counts: BTreeMap<Block, usize>,
    max: usize,
}

impl<T> Fair<T> {
    /// A queue for so many.
    pub(super) fn new(max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            counts: BTreeMap::new(),
            max,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds one of a network's. When too many wait, whoever would have most of them loses
    /// the newest, which is given back. O(length) then.
    pub(super) fn push(&mut self, of: Block, item: T) -> Option<T> {
        let mut dropped = None;
        if self.queue.len() >= self.max {
            let own = self.counts.get(&of).copied().unwrap_or(0);
            let largest = self.counts.iter().max_by_key(|(_, count)| **count);
            let at = largest
                .filter(|(_, count)| **count > own + 1)
                .and_then(|(largest, _)| self.queue.iter().rposition(|(of, _)| of == largest));
            let Some((loser, lost)) = at.and_then(|at| self.queue.remove(at)) else {
                return Some(item);
            };
            self.uncount(loser);
            dropped = Some(lost);
        }
        *self.counts.entry(of).or_default() += 1;
        self.queue.push_back((of, item));
        dropped
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (of, item) = self.queue.pop_front()?;
        self.uncount(of);
        Some(item)
    }

    fn uncount(&mut self, of: Block) {
        if let Some(count) = self.counts.get_mut(&of) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64;

    /// Adds one that is known by its network; true if one was lost.
    fn push(queue: &mut Fair<u32>, of: u32) -> bool {
        queue.push(Block::V4(of), of).is_some()
    }

    #[test]
    fn a_flood_loses_its_own() {
        let mut queue = Fair::new(MAX);
        for _ in 0..MAX {
            assert!(!push(&mut queue, 1), "there is room");
        }
        assert!(push(&mut queue, 1), "one too many");
        // Others get in, each in the place of one of the flood's.
        for other in 2..10 {
            assert!(push(&mut queue, other));
        }
        assert!(push(&mut queue, 1));
        let left: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(left, [vec![1; MAX - 8], (2..10).collect()].concat());
        assert!(queue.is_empty() && queue.counts.is_empty());
    }

    #[test]
    fn where_all_have_the_same_the_newest_is_lost() {
        let mut queue = Fair::new(MAX);
        for other in 0..MAX as u32 {
            assert!(!push(&mut queue, other));
        }
        assert!(push(&mut queue, 1000));
        assert_eq!(queue.pop(), Some(0));
        assert!(!queue.counts.contains_key(&Block::V4(1000)));
    }
}
