//! Who is told, and who may write how much, with a QUIC that the test plays.

use super::*;
use crate::id::{Dir, Side};
use crate::testing::epoch;

fn id(number: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, number)
}

/// Writers, and the room that QUIC has for them.
struct Line {
    writers: Writers,
    room: usize,
    now: Instant,
    priorities: BTreeMap<u64, i32>,
}

impl Line {
    /// One in which so many have found no room.
    fn full(count: u64) -> Self {
        let mut line = Self {
            writers: Writers::default(),
            room: 0,
            now: epoch(),
            priorities: BTreeMap::new(),
        };
        for number in 0..count {
            assert_eq!(line.write(number, 100_000), 0);
        }
        line.writers.pumped();
        line
    }

    /// What is taken of so many bytes.
    fn write(&mut self, number: u64, offered: usize) -> usize {
        let priority = self.priorities.get(&number).copied().unwrap_or(0);
        let allowed = self.writers.allow(id(number), || Some(priority));
        let Some(allowed) = allowed else { return 0 };
        let taken = offered.min(allowed).min(self.room);
        self.room -= taken;
        let ended = match taken {
            _ if taken == offered => Ended::All,
            _ if taken == allowed => Ended::Share,
            _ => Ended::Blocked,
        };
        self.writers
            .wrote(id(number), taken, ended, || Some(priority));
        taken
    }

    /// QUIC has room, and tells those it has blocked, the last one first.
    fn make_room(&mut self, bytes: usize, of: &[u64]) {
        self.room += bytes;
        for number in of.iter().rev() {
            self.writers.has_room(id(*number));
        }
    }

    fn next(&mut self) -> Option<u64> {
        let next = self.writers.next(self.now);
        self.writers.pumped();
        next.map(StreamId::number)
    }

    /// Whose turn it is, one after the other; each takes all it may.
    fn turns(&mut self, count: usize) -> Vec<u64> {
        let turn = |line: &mut Self| {
            let next = line.next().expect("somebody's turn");
            line.write(next, 100_000);
            next
        };
        (0..count).map(|_| turn(self)).collect()
    }
}

#[test]
fn who_has_waited_longest_is_told_first_and_goes_to_the_end() {
    let mut line = Line::full(3);
    line.make_room(6 * TURN, &[0, 1, 2]);
    assert_eq!(line.turns(6), [0, 1, 2, 0, 1, 2]);
    assert_eq!(line.room, 0, "a turn is so much");
}

#[test]
fn a_turn_goes_on_when_there_was_no_room_for_it() {
    let mut line = Line::full(2);
    line.make_room(TURN / 2, &[0, 1]);
    assert_eq!(line.turns(2), [0, 1]);
    assert_eq!(line.next(), None, "there is no room");
    line.make_room(TURN, &[0, 1]);
    assert_eq!(line.turns(2), [0, 1]);
    // The first has had its turn, the second a half.
    line.make_room(TURN, &[0, 1]);
    assert_eq!(line.turns(2), [1, 0]);
}

#[test]
fn who_has_not_its_turn_writes_nothing_and_stands_in_line() {
    let mut line = Line::full(2);
    line.make_room(8 * TURN, &[0, 1]);
    assert_eq!((line.write(1, 10), line.write(2, 10)), (0, 0));
    assert_eq!(line.turns(4), [0, 1, 2, 0]);
}

#[test]
fn nobody_else_is_told_while_there_is_no_room() {
    let mut line = Line::full(40);
    let all: Vec<_> = (0..40).collect();
    line.make_room(100, &all);
    // What the first found may have been its own limit, what the second found was not.
    assert_eq!(line.turns(2), [0, 1]);
    assert_eq!((line.next(), line.writers.deadline()), (None, None));
}

#[test]
fn credit_that_was_noted_before_a_write_may_be_used_up() {
    let mut line = Line::full(3);
    line.writers.clear();
    // Blocked, and told of by QUIC, before all that it had to tell was told.
    for number in 0..3 {
        line.write(number, 100);
    }
    line.make_room(0, &[0, 1, 2]);
    assert_eq!(line.turns(3), [0, 1, 2], "it may be its own limit");
}

#[test]
fn who_leaves_takes_its_place_along() {
    let mut line = Line::full(5);
    line.make_room(0, &[0, 1, 2, 3, 4]);
    assert_eq!(line.turns(1), [0]);
    assert_eq!(line.next(), None);
    // It is what QUIC would have told of room.
    line.writers.forget(id(0));
    line.room = 2 * TURN;
    assert_eq!(line.next(), Some(1), "the next has its turn");
    assert_eq!(line.next(), None, "and uses it");
    line.writers.forget(id(1));
    line.writers.forget(id(2));
    assert_eq!(line.turns(2), [3, 4]);
    for number in 0..5 {
        line.writers.forget(id(number));
    }
    assert!(line.writers.is_empty() && line.writers.line.is_empty());
}

#[test]
fn a_turn_that_nobody_uses_passes_and_is_not_lost() {
    let mut line = Line::full(3);
    line.make_room(100 * TURN, &[0, 1, 2]);
    assert_eq!((line.next(), line.next()), (Some(0), None));
    assert_eq!(line.writers.deadline(), Some(line.now + PATIENCE));
    line.now += PATIENCE;
    assert_eq!(line.next(), Some(1), "the first one's has passed");
    assert_eq!(line.write(0, 100_000), TURN, "and counts");
    assert_eq!(line.write(0, 100_000), 0, "once");
}

#[test]
fn the_more_urgent_go_first() {
    let mut line = Line::full(2);
    line.priorities = [(2, 5), (3, -5)].into();
    line.make_room(100 * TURN, &[0, 1]);
    assert_eq!(line.write(3, 10), 0, "less urgent");
    assert_eq!(line.write(2, 10), 10, "more urgent than all that wait");
    assert_eq!(line.turns(3), [0, 1, 0]);
    line.writers.set_priority(id(3), 1);
    assert_eq!(line.turns(2), [3, 1]);
}

#[test]
fn who_is_alone_takes_all_there_is() {
    let mut line = Line::full(1);
    for _ in 0..3 {
        line.make_room(3 * TURN, &[0]);
        assert_eq!(line.next(), Some(0));
        assert_eq!(line.write(0, 100_000), 3 * TURN);
    }
    line.make_room(100_000, &[0]);
    assert_eq!(line.next(), Some(0));
    assert_eq!(line.write(0, 100), 100);
    assert!(line.writers.is_empty(), "it does not wait any more");
}

#[test]
fn more_are_told_at_once_where_there_is_room() {
    let mut line = Line::full(20);
    let all: Vec<_> = (0..20).collect();
    line.make_room(1000 * TURN, &all);
    let mut told = Vec::new();
    for _ in 0..4 {
        let now: Vec<_> = std::iter::from_fn(|| line.next()).collect();
        for number in &now {
            line.write(*number, 100_000);
        }
        told.push(now.len());
    }
    assert_eq!(told, [1, 2, 8, 20]);
}

/// The line is what the stages say, whatever is done in whichever order.
fn check(writers: &Writers) {
    let line: Vec<_> = writers.line.iter().copied().collect();
    assert!(
        line.is_sorted_by(|before, after| before < after),
        "{line:?}"
    );
    let ready = |writer: &&Writer| writer.stage == Stage::Ready;
    assert_eq!(writers.waiting.values().filter(ready).count(), line.len());
    for (priority, ticket, id) in line {
        let writer = &writers.waiting[&id];
        assert_eq!(
            (Reverse(writer.priority), writer.ticket),
            (priority, ticket)
        );
    }
    let told = |writer: &&Writer| writer.stage == Stage::Told(writers.round);
    let told = writers.waiting.values().filter(told).count();
    assert_eq!(u32::try_from(told), Ok(writers.told));
}

#[test]
fn nobody_is_forgotten_whatever_the_order() {
    for seed in 0..300 {
        let mut luck = seed;
        let mut pick = |of: u64| {
            luck = u64::wrapping_mul(luck, 6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (luck >> 33) % of
        };
        let mut line = Line::full(0);
        let mut blocked = std::collections::BTreeSet::new();
        let mut wanting = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let number = pick(12);
            match pick(9) {
                0..=2 => {
                    let offered = 1 + usize::try_from(pick(60_000)).expect("small");
                    let before = line.room;
                    match line.write(number, offered) == offered {
                        true => _ = wanting.remove(&number),
                        false => _ = wanting.insert(number),
                    }
                    let stage = line.writers.waiting.get(&id(number));
                    if before == 0 || stage.is_some_and(|it| it.stage == Stage::Blocked) {
                        blocked.insert(number);
                    }
                }
                3 => line.room += usize::try_from(pick(40_000)).expect("small"),
                4 => {
                    for number in std::mem::take(&mut blocked) {
                        line.writers.has_room(id(number));
                    }
                }
                5 => _ = line.next(),
                6 => {
                    line.writers.forget(id(number));
                    blocked.remove(&number);
                    wanting.remove(&number);
                }
                7 => {
                    let priority = i32::try_from(pick(3)).expect("small");
                    line.priorities.insert(number, priority);
                    line.writers.set_priority(id(number), priority);
                }
                _ => line.now += PATIENCE / 2,
            }
            check(&line.writers);
        }
        // QUIC takes all there is, and whoever is told writes the rest.
        for _ in 0..400 {
            line.room = usize::MAX / 2;
            for number in std::mem::take(&mut blocked) {
                line.writers.has_room(id(number));
            }
            let Some(next) = line.next() else {
                line.now += PATIENCE;
                continue;
            };
            if line.write(next, 10) == 10 {
                wanting.remove(&next);
            }
            check(&line.writers);
        }
        // Those whose turn came before may have let it pass.
        wanting.retain(|number| {
            let stage = line.writers.waiting.get(&id(*number)).map(|it| it.stage);
            matches!(stage, Some(Stage::Ready | Stage::Blocked))
        });
        assert!(
            wanting.is_empty(),
            "seed {seed}: {wanting:?} {:?}",
            line.writers
        );
    }
}
