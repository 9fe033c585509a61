//! Counters, gauges and histograms, alone or told apart by labels whose values are listed beforehand. Any thread counts; nobody waits.
//! Not here: what is counted (`metrics`), and how it is written (`page`).

use crate::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is not in a family's list.
const OTHER: &str = "other";

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The total, for what the switch or the relay counts itself and the daemon copies here.
    pub fn set(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// The total.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that is what it is.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// How many there are now.
    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer; never below zero.
    pub fn dec(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| now.checked_sub(1));
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long things took, or what they came to in other units than seconds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Observations at or below each bound and above the one before; the last is beyond all bounds.
    buckets: Vec<AtomicU64>,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Nothing yet. `bounds` rise.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_micros: AtomicU64::new(0),
        }
    }

    /// One more took so long.
    pub fn observe(&self, took: Duration) {
        self.buckets.get(self.place(took)).into_iter().for_each(|bucket| _ = bucket.fetch_add(1, Ordering::Relaxed));
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Which bucket so long belongs to.
    pub fn place(&self, took: Duration) -> usize {
        let seconds = took.as_secs_f64();
        self.bounds.iter().take_while(|bound| seconds > **bound).count()
    }

    /// How many buckets there are.
    pub fn places(&self) -> usize {
        self.buckets.len()
    }

    /// So many more in each bucket, which took so long together: what somebody has counted for himself.
    pub fn add(&self, counts: &[u64], sum: Duration) {
        self.buckets.iter().zip(counts).for_each(|(bucket, more)| _ = bucket.fetch_add(*more, Ordering::Relaxed));
        let micros = u64::try_from(sum.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Becomes what another one, of the same bounds, is.
    pub fn copy(&self, other: &Histogram) {
        self.buckets
            .iter()
            .zip(&other.buckets)
            .for_each(|(to, from)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
        self.sum_micros.store(other.sum_micros.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// One more was so much, of what is no time; less than nothing counts as nothing.
    pub fn observe_value(&self, value: f64) {
        self.observe(Duration::try_from_secs_f64(value).unwrap_or_default());
    }

    /// For each bound how many took at most so long, in seconds; then how many there were.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(*bound)).chain([None]);
        bounds.zip(&self.buckets).scan(0, |total, (bound, bucket)| {
            *total += bucket.load(Ordering::Relaxed);
            Some((bound, *total))
        })
    }

    /// How long they took together.
    pub(super) fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros.load(Ordering::Relaxed))
    }
}

/// Numbers of one kind, told apart by the values of their labels; the list of these is closed.
#[derive(Debug)]
pub struct Family<T> {
    pub(super) members: Vec<(Vec<&'static str>, T)>,
    pub(super) labels: &'static [&'static str],
}

impl<T: Default> Family<T> {
    /// One label with these values, and `other`.
    pub(super) fn one(labels: &'static [&'static str; 1], values: &[&'static str]) -> Family<T> {
        let values = values.iter().copied().chain([OTHER]);
        Family { labels, members: values.map(|value| (vec![value], T::default())).collect() }
    }

    /// Several labels in these combinations, and `other` in each of them.
    pub(super) fn many<const N: usize>(
        labels: &'static [&'static str; N],
        values: impl IntoIterator<Item = [&'static str; N]>,
    ) -> Family<T> {
        let values = values.into_iter().chain([[OTHER; N]]);
        Family { labels, members: values.map(|values| (values.to_vec(), T::default())).collect() }
    }
}

impl<T> Family<T> {
    /// The member with this value; `other` if the list has none such.
    pub fn with(&self, value: &str) -> &T {
        self.with_all(&[value])
    }

    /// The same for a family of several labels, in their order.
    pub fn with_all(&self, values: &[&str]) -> &T {
        let found = self.members.iter().find(|(listed, _)| listed == values);
        &found.or(self.members.last()).expect("a family has a member for the others").1
    }
}
