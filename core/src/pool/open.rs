//! An origin's connections that take a request, by how many they have.

use super::table::Key;

/// In order of load, and of age where that is the same. Most origins have one connection,
/// whose load changes with every request: it stays where it is.
#[derive(Debug, Default)]
pub(super) struct Open(Vec<(usize, Key)>);

impl Open {
    /// The one with the fewest requests.
    pub(super) fn first(&self) -> Option<Key> {
        self.0.first().map(|(_, key)| *key)
    }

    /// Puts a connection where it belongs by its new load, `None` for nowhere.
    /// O(connections), one word each.
    pub(super) fn relist(&mut self, key: Key, before: Option<usize>, load: Option<usize>) {
        let all = &mut self.0;
        if let ([(held, only)], true, Some(load)) = (&mut all[..], before.is_some(), load)
            && *only == key
        {
            *held = load;
            return;
        }
        let at = before.and_then(|load| all.binary_search(&(load, key)).ok());
        if let Some(at) = at {
            all.remove(at);
        }
        if let Some(load) = load {
            let entry = (load, key);
            let at = all.partition_point(|other| *other < entry);
            all.insert(at, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_is_first_and_the_oldest_of_these() {
        let [a, b, c] = [0, 1, 2].map(|serial| Key { serial, index: 0 });
        let mut open = Open::default();
        open.relist(b, None, Some(1));
        open.relist(b, Some(1), Some(3));
        assert_eq!(open.0, [(3, b)], "alone");
        open.relist(a, None, Some(3));
        assert_eq!(open.first(), Some(a));
        open.relist(c, None, Some(2));
        open.relist(b, Some(3), Some(1));
        assert_eq!(open.0, [(1, b), (2, c), (3, a)]);
        open.relist(c, Some(2), None);
        open.relist(c, None, None);
        open.relist(b, Some(1), None);
        assert_eq!(open.0, [(3, a)]);
        open.relist(a, Some(3), None);
        assert_eq!(open.first(), None);
    }
}
