//! The timers of RFC 3261 §17 (Table 4) and RFC 6026 by their letters, and the wheel that every deadline of the core hangs on.
//! Not here: clocks, and what a timer does when it fires (its machine, or the call).

use crate::time::{Duration, Instant};
use slab::Slab;

/// The round-trip estimate that the other timers are multiples of (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// The longest pause between repetitions of non-INVITE requests and of final answers to INVITE (RFC 3261 §17.1.2.2).
pub const T2: Duration = Duration::from_secs(4);
/// How long a message may linger in the network (RFC 3261 §17.1.2.2).
pub const T4: Duration = Duration::from_secs(5);
/// 64*T1: how long a transaction tries, or waits for stragglers.
pub const T1_64: Duration = Duration::from_secs(32);

/// How long an INVITE may go without any answer before it gets 100 (RFC 3261 §17.2.1): where the user answers sooner, that stops its
/// repetition as well.
pub const TRYING: Duration = Duration::from_millis(200);

/// The timers of SIP transactions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Timer {
    /// INVITE client: repeat the request (RFC 3261 §17.1.1.2).
    A,
    /// INVITE client: give up (RFC 3261 §17.1.1.2).
    B,
    /// A proxy's patience with an INVITE (RFC 3261 §16.6). We are no proxy; the letter is here so that none is missed.
    C,
    /// INVITE client: absorb repeated final answers (RFC 3261 §17.1.1.2).
    D,
    /// Non-INVITE client: repeat the request (RFC 3261 §17.1.2.2).
    E,
    /// Non-INVITE client: give up (RFC 3261 §17.1.2.2).
    F,
    /// INVITE server: repeat the final answer (RFC 3261 §17.2.1).
    G,
    /// INVITE server: give up waiting for ACK (RFC 3261 §17.2.1).
    H,
    /// INVITE server: absorb repeated ACKs (RFC 3261 §17.2.1).
    I,
    /// Non-INVITE server: absorb repeated requests (RFC 3261 §17.2.2).
    J,
    /// Non-INVITE client: absorb repeated answers (RFC 3261 §17.1.2.2).
    K,
    /// INVITE server: absorb repeated INVITEs after a 2xx (RFC 6026 §7.1).
    L,
    /// INVITE client: take further 2xx (RFC 6026 §7.2).
    M,
}

impl Timer {
    /// How long the timer runs when it is first set. `None`: it is not set at all, over a reliable transport there are no
    /// repetitions. Zero: over a reliable transport there is nothing to wait for.
    pub fn duration(self, reliable: bool) -> Option<Duration> {
        match self {
            Timer::A | Timer::E | Timer::G if reliable => None,
            Timer::A | Timer::E | Timer::G => Some(T1),
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M => Some(T1_64),
            Timer::C => Some(Duration::from_secs(181)),
            Timer::D | Timer::I | Timer::J | Timer::K if reliable => Some(Duration::ZERO),
            Timer::D | Timer::J => Some(T1_64),
            Timer::I | Timer::K => Some(T4),
        }
    }
}

/// A repetition whose pauses double.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeat {
    at: Instant,
    pause: Duration,
    pause_max: Duration,
}

impl Repeat {
    /// Repetitions from `now` on, the first after T1; each pause twice the one before, up to `pause_max`.
    pub fn new(now: Instant, pause_max: Duration) -> Repeat {
        Repeat { at: now + T1, pause: T1, pause_max }
    }

    /// When the next repetition is due.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Whether one is due; if so the next is set. Counted from when it was due, unless time ran on: a late caller gets one
    /// repetition, not a burst.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        self.pause = (self.pause * 2).min(self.pause_max);
        self.at = (self.at + self.pause).max(now);
        true
    }

    /// The same repetition at the longest pause from now on (RFC 3261 §17.1.2.2: Timer E in Proceeding).
    pub fn slowest(self) -> Repeat {
        Repeat { pause: self.pause_max, ..self }
    }
}

/// One tick of the wheel, microseconds. Deadlines are rounded up to it: never early, at most this much late.
const TICK_MICROS: u64 = 1000;
/// Slots of a level, as a power of two: one bit each in a `u64`.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 64 ms, 4 s, 4.4 min, 4.7 h, 12 d, … and so on to the end of time: 60 bits of ticks hold 64 bits of microseconds.
const LEVELS: usize = 10;
/// No node.
const NIL: u32 = u32::MAX;

/// What the owner of a deadline keeps of it. After the deadline fired, or when it was never set, it is an alarm that does
/// not ring, and setting or clearing it is safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alarm {
    node: u32,
    stamp: u32,
}

impl Alarm {
    /// An alarm that is not set.
    pub const OFF: Alarm = Alarm { node: NIL, stamp: 0 };
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm::OFF
    }
}

/// A deadline on the wheel, a link of its slot's list.
struct Node<K> {
    key: K,
    tick: u64,
    stamp: u32,
    previous: u32,
    next: u32,
    list: u16,
}

/// A list of nodes, in the order in which they were put there.
#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

/// The list of those that are due.
const DUE: usize = LEVELS * SLOTS;

/// A hierarchical timing wheel: setting, moving and clearing a deadline take constant time, and there is exactly one entry
/// for each deadline that is set. The order in which deadlines fire depends on the calls made and on nothing else.
///
/// Level `n` has 64 slots of 64^n ticks each. A deadline hangs at the level of the highest bit in which it differs from the
/// present tick, so that a lower level is always due before a higher one, and moves down as time gets there.
pub struct Wheel<K> {
    nodes: Slab<Node<K>>,
    lists: Box<[List]>,
    /// Which slots of a level have nodes, a bit each.
    occupied: [u64; LEVELS],
    /// The tick up to which all is done.
    elapsed: u64,
    /// Tells a node from an earlier one at the same place.
    stamp: u32,
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Wheel<K> {
        Wheel::new()
    }
}

impl<K: Copy> Wheel<K> {
    /// A wheel on which nothing hangs.
    pub fn new() -> Wheel<K> {
        let lists = vec![List { first: NIL, last: NIL }; DUE + 1].into_boxed_slice();
        Wheel { nodes: Slab::new(), lists, occupied: [0; LEVELS], elapsed: 0, stamp: 0 }
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Sets, moves or (with `None`) clears a deadline. `key` is what [`Wheel::poll`] gives when it fires.
    pub fn set(&mut self, alarm: &mut Alarm, at: Option<Instant>, key: K) {
        self.clear(alarm);
        let Some(at) = at else { return };
        self.stamp = self.stamp.wrapping_add(1);
        let tick = at.0.div_ceil(TICK_MICROS);
        let node = Node { key, tick, stamp: self.stamp, previous: NIL, next: NIL, list: 0 };
        let node =
            u32::try_from(self.nodes.insert(node)).expect("fewer than 2^32 deadlines: every owner's table is bounded");
        self.hang(node);
        *alarm = Alarm { node, stamp: self.stamp };
    }

    /// Clears a deadline, if it is set.
    pub fn clear(&mut self, alarm: &mut Alarm) {
        let Alarm { node, stamp } = std::mem::take(alarm);
        if self.nodes.get(index(node)).is_some_and(|found| found.stamp == stamp) {
            self.unhang(node);
            self.nodes.remove(index(node));
        }
    }

    /// The next deadline that is due, if any is. Call until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<K> {
        let now = now.0 / TICK_MICROS;
        loop {
            let due = self.lists[DUE].first;
            if due != NIL {
                self.unhang(due);
                return Some(self.nodes.remove(index(due)).key);
            }
            match self.next_slot() {
                Some((list, tick)) if tick <= now => {
                    self.elapsed = self.elapsed.max(tick);
                    self.move_down(list);
                }
                Some(_) | None => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// When to call [`Wheel::poll`] next: no later than the first deadline (rounded up to a tick). It may be earlier by
    /// one step of a higher level; then `poll` moves deadlines down and gives none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let tick = if self.lists[DUE].first == NIL { self.next_slot()?.1 } else { self.elapsed };
        Some(Instant(tick.saturating_mul(TICK_MICROS)))
    }

    /// The first list that has nodes, and the tick at which it is to be looked at.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = shift_of(level);
        let above = (self.elapsed >> shift >> SLOT_BITS) << SLOT_BITS;
        Some((level * SLOTS + index(slot), (above | u64::from(slot)) << shift))
    }

    /// Takes all nodes from a list and hangs them anew: lower, or among those that are due.
    fn move_down(&mut self, list: usize) {
        while self.lists[list].first != NIL {
            let node = self.lists[list].first;
            self.unhang(node);
            self.hang(node);
        }
    }

    fn hang(&mut self, node: u32) {
        let tick = self.nodes[index(node)].tick;
        let list = list_of(self.elapsed, tick);
        if let Some(bits) = self.occupied.get_mut(list / SLOTS) {
            *bits |= 1 << (list % SLOTS);
        }
        let last = std::mem::replace(&mut self.lists[list].last, node);
        match last {
            NIL => self.lists[list].first = node,
            last => self.nodes[index(last)].next = node,
        }
        let node = &mut self.nodes[index(node)];
        (node.previous, node.next) = (last, NIL);
        node.list = u16::try_from(list).expect("there are fewer lists than 2^16");
    }

    fn unhang(&mut self, node: u32) {
        let &Node { previous, next, list, .. } = &self.nodes[index(node)];
        let list = usize::from(list);
        match previous {
            NIL => self.lists[list].first = next,
            previous => self.nodes[index(previous)].next = next,
        }
        match next {
            NIL => self.lists[list].last = previous,
            next => self.nodes[index(next)].previous = previous,
        }
        if self.lists[list].first == NIL
            && let Some(bits) = self.occupied.get_mut(list / SLOTS)
        {
            *bits &= !(1 << (list % SLOTS));
        }
    }
}

/// Which list a deadline belongs on.
fn list_of(elapsed: u64, tick: u64) -> usize {
    if tick <= elapsed {
        return DUE;
    }
    let highest_bit = (elapsed ^ tick).ilog2();
    let level = index(highest_bit / SLOT_BITS);
    level * SLOTS + usize::try_from((tick >> shift_of(level)) & 63).expect("six bits")
}

fn shift_of(level: usize) -> u32 {
    u32::try_from(level).expect("ten levels") * SLOT_BITS
}

fn index(node: u32) -> usize {
    usize::try_from(node).expect("32 bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn at(millis: u64) -> Instant {
        Instant(millis * 1000)
    }

    #[test]
    fn timers_have_the_durations_of_table_4() {
        let t = |ms| Some(Duration::from_millis(ms));
        for (timer, unreliable, reliable) in [
            (Timer::A, t(500), None),
            (Timer::B, t(32_000), t(32_000)),
            (Timer::C, t(181_000), t(181_000)),
            (Timer::D, t(32_000), t(0)),
            (Timer::E, t(500), None),
            (Timer::F, t(32_000), t(32_000)),
            (Timer::G, t(500), None),
            (Timer::H, t(32_000), t(32_000)),
            (Timer::I, t(5000), t(0)),
            (Timer::J, t(32_000), t(0)),
            (Timer::K, t(5000), t(0)),
            (Timer::L, t(32_000), t(32_000)),
            (Timer::M, t(32_000), t(32_000)),
        ] {
            assert_eq!((timer.duration(false), timer.duration(true)), (unreliable, reliable), "{timer:?}");
        }
    }

    #[test]
    fn a_late_repetition_happens_once() {
        let mut repeat = Repeat::new(at(0), T2);
        assert!(!repeat.is_due(at(499)));
        assert!(repeat.is_due(at(60_000)));
        assert!(repeat.at() >= at(60_000));
    }

    fn drain(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| wheel.poll(now)).collect()
    }

    #[test]
    fn deadlines_fire_when_due_and_not_before() {
        let mut wheel = Wheel::new();
        let (mut a, mut b, mut c) = (Alarm::OFF, Alarm::OFF, Alarm::OFF);
        wheel.set(&mut a, Some(at(500)), 1);
        wheel.set(&mut b, Some(at(32_000)), 2);
        wheel.set(&mut c, Some(Instant(499_001)), 3);
        assert_eq!(drain(&mut wheel, Instant(499_999)), [0u32; 0]);
        assert_eq!(drain(&mut wheel, at(500)), [1, 3]);
        assert_eq!(drain(&mut wheel, at(31_999)), [0u32; 0]);
        assert_eq!(drain(&mut wheel, at(40_000)), [2]);
        assert_eq!((wheel.len(), wheel.poll_timeout()), (0, None));
    }

    #[test]
    fn a_deadline_that_has_passed_fires_at_once() {
        let mut wheel = Wheel::new();
        assert_eq!(drain(&mut wheel, at(1000)), [0u32; 0]);
        wheel.set(&mut Alarm::default(), Some(at(10)), 1);
        assert_eq!(wheel.poll_timeout(), Some(at(1000)));
        assert_eq!(drain(&mut wheel, at(1000)), [1]);
    }

    #[test]
    fn an_alarm_is_moved_or_cleared_and_a_stale_one_is_harmless() {
        let mut wheel = Wheel::new();
        let (mut a, mut b) = (Alarm::OFF, Alarm::OFF);
        wheel.set(&mut a, Some(at(5)), 1);
        wheel.set(&mut a, Some(at(9)), 1);
        assert_eq!((wheel.len(), drain(&mut wheel, at(8))), (1, vec![]));
        assert_eq!(drain(&mut wheel, at(9)), [1]);
        wheel.set(&mut b, Some(at(20)), 2);
        wheel.clear(&mut a);
        assert_eq!(wheel.len(), 1, "the place of the fired alarm is another's now");
        wheel.set(&mut b, None, 2);
        assert!(wheel.is_empty());
    }

    #[test]
    fn the_last_moment_of_time_has_a_place() {
        let mut wheel = Wheel::new();
        let far = at(u64::MAX / 5000);
        wheel.set(&mut Alarm::default(), Some(far), 1);
        wheel.set(&mut Alarm::default(), Some(Instant(u64::MAX)), 2);
        let mut now = Instant(0);
        let mut steps = 0;
        let fired = loop {
            now = wheel.poll_timeout().unwrap().max(now);
            steps += 1;
            assert!(steps < 10_000);
            if let Some(key) = wheel.poll(now) {
                break (key, now);
            }
        };
        assert_eq!(fired, (1, far));
    }

    #[test]
    fn the_wheel_agrees_with_a_sorted_list() {
        let mut rng = Rng::from_seed([3; 32]);
        let mut wheel = Wheel::new();
        let mut model: Vec<(u64, u32, Alarm)> = Vec::new();
        let mut now = 0u64;
        for key in 0..20_000u32 {
            let span = [50, 5000, 40_000, 4_000_000][usize::try_from(rng.below(4)).unwrap()];
            let deadline = now + u64::from(rng.below(span));
            let mut alarm = Alarm::OFF;
            wheel.set(&mut alarm, Some(at(deadline)), key);
            model.push((deadline, key, alarm));
            if rng.below(3) == 0 {
                let index = usize::try_from(rng.below(u32::try_from(model.len()).unwrap())).unwrap();
                wheel.clear(&mut model.swap_remove(index).2);
            }
            if rng.below(4) == 0 {
                now += u64::from(rng.below(300));
                let mut fired = drain(&mut wheel, at(now));
                fired.sort_unstable();
                let mut expected: Vec<u32> =
                    model.extract_if(.., |(at, ..)| *at <= now).map(|(_, key, _)| key).collect();
                expected.sort_unstable();
                assert_eq!(fired, expected, "at {now}");
            }
            assert_eq!(wheel.len(), model.len());
            let first = model.iter().map(|(deadline, ..)| *deadline).min().map(at);
            assert!(wheel.poll_timeout() <= first || first.is_none());
            assert_eq!(wheel.poll_timeout().is_none(), first.is_none());
        }
    }
}
