//! A queue in which networks take turns.

use std::collections::{BTreeMap, VecDeque};

use super::shares::Block;

/// Connection attempts that wait for their turn.
pub(super) const MAX_ATTEMPTS: usize = 256;

/// What waits, of each network the oldest first.
#[derive(Debug)]
pub(super) struct Fair<T> {
    /// None of them is empty.
    lines: BTreeMap<Block, VecDeque<T>>,
    /// Networks that have a line, each once; the first one's turn is next.
    order: VecDeque<Block>,
    len: usize,
    max: usize,
}

impl<T> Fair<T> {
    /// A queue for so many.
    pub(super) fn new(max: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            order: VecDeque::new(),
            len: 0,
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one of a network's. When too many wait, whoever would have most of them loses
    /// the newest, which is given back. O(networks) then, else O(log networks).
    pub(super) fn push(&mut self, of: Block, item: T) -> Option<T> {
        let mut dropped = None;
        if self.len >= self.max {
            let own = self.lines.get(&of).map_or(0, VecDeque::len);
            let largest = self.lines.values_mut().max_by_key(|line| line.len());
            // What is left of it is not empty.
            let lost = largest
                .filter(|line| line.len() > own + 1)
                .and_then(VecDeque::pop_back);
            if lost.is_none() {
                return Some(item);
            }
            self.len -= 1;
            dropped = lost;
        }
        let line = self.lines.entry(of).or_default();
        if line.is_empty() {
            self.order.push_back(of);
        }
        line.push_back(item);
        self.len += 1;
        dropped
    }

    /// Takes the oldest of the network whose turn it is. O(log networks).
    pub(super) fn pop(&mut self) -> Option<T> {
        let of = self.order.pop_front()?;
        let line = self.lines.get_mut(&of)?;
        let item = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&of);
        } else {
            self.order.push_back(of);
        }
        self.len -= 1;
        Some(item)
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
        // They take turns, however many one has.
        let left: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(left, [(1..10).collect(), vec![1; MAX - 9]].concat());
        assert!(queue.is_empty() && queue.lines.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn where_all_have_the_same_the_newest_is_lost() {
        let mut queue = Fair::new(MAX);
        for other in 0..MAX as u32 {
            assert!(!push(&mut queue, other));
        }
        assert!(push(&mut queue, 1000));
        assert_eq!(queue.pop(), Some(0));
        assert!(!queue.lines.contains_key(&Block::V4(1000)));
    }
}
