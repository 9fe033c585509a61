//! Bugs planted on purpose, so that a test can show that the simulation finds each of them. A rule of the core asks [`planted`]
//! where the bug would be; one bug at a time is planted, for the thread that plants it. Without the feature `sim` the answer is a
//! constant no, and the daemon carries nothing of it.
//! Not here: the simulation, the invariants (RELIABILITY §4), and which seed finds what.

#[cfg(feature = "sim")]
use std::cell::Cell;

/// One line a bug: the enum, [`Mutant::ALL`] and [`Mutant::as_str`] cannot fall out of step.
macro_rules! mutants {
    ($($(#[$what:meta])* $name:ident = $text:literal,)*) => {
        /// A bug. Each says what is broken, and which invariant has to notice.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Mutant {
            $($(#[$what])* $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name),*];

            /// Its name in reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Mutant::$name => $text,)*
                }
            }
        }
    };
}

mutants! {
    /// An event for `foo` reaches `foobar`. I13.
    NameBoundary = "name_boundary",
    /// A token opens after its expiry. I5.
    TokenExpiry = "token_expiry",
    /// A token opens for whoever brings it. I5, I7.
    TokenAudience = "token_audience",
    /// A token of another generation of the parked leg is as good. I5.
    TokenGeneration = "token_generation",
}

#[cfg(feature = "sim")]
thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug for this thread; `None` takes it out again.
#[cfg(feature = "sim")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether this bug is planted.
#[cfg(feature = "sim")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether this bug is planted: none ever is.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.as_str()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }

    #[cfg(not(feature = "sim"))]
    #[test]
    fn without_the_feature_none_is_planted() {
        assert!(Mutant::ALL.iter().all(|mutant| !planted(*mutant)));
    }

    #[cfg(feature = "sim")]
    #[test]
    fn one_is_planted_and_only_in_its_thread() {
        plant(Some(Mutant::NameBoundary));
        assert!(Mutant::ALL.iter().all(|mutant| planted(*mutant) == (*mutant == Mutant::NameBoundary)));
        assert!(std::thread::spawn(|| !planted(Mutant::NameBoundary)).join().unwrap_or(false));
        plant(None);
        assert!(Mutant::ALL.iter().all(|mutant| !planted(*mutant)));
    }
}
