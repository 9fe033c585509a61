//! The page that Prometheus reads (text format 0.0.4): each family once, what it is before its samples.
//! Not here: what is on it (`metrics`).

use super::counts::{Counter, Family, Gauge, Histogram};
use std::fmt::Write;

/// The page as it grows.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("a String takes everything");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.sample(name, "", counter.get());
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, gauge: &Gauge) {
        self.head(name, "gauge", help);
        self.sample(name, "", gauge.get());
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, family: &Family<Counter>) {
        self.head(name, "counter", help);
        self.members(name, family, Counter::get);
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, family: &Family<Gauge>) {
        self.head(name, "gauge", help);
        self.members(name, family, Gauge::get);
    }

    fn members<T>(&mut self, name: &str, family: &Family<T>, get: impl Fn(&T) -> u64) {
        for (values, member) in &family.members {
            // Label values are our own words: nothing in them needs escaping.
            let labels: Vec<String> = family.labels.iter().zip(values).map(|(l, v)| format!("{l}=\"{v}\"")).collect();
            self.sample(name, &format!("{{{}}}", labels.join(",")), get(member));
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let mut count = 0;
        for (bound, total) in histogram.buckets() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), total);
            count = total;
        }
        self.sample(&format!("{name}_sum"), "", histogram.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), "", count);
    }
}
