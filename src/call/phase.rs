//! The state of a call, as metrics, logs and the simulation see it: what stands behind it is `call::State`.
//! Not here: what a state holds and does, one file each.

/// The state of a call, as others see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// It is not settled where it goes.
    Arriving,
    /// It waits for a callback.
    Parked,
    /// A callback is being joined to it.
    Merging,
    /// The two sides talk.
    Bridged,
    /// It is being taken down.
    Ending,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] = [Phase::Arriving, Phase::Parked, Phase::Merging, Phase::Bridged, Phase::Ending];

    /// `arriving`, `parked`, `merging`, `bridged` or `ending`.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Arriving => "arriving",
            Phase::Parked => "parked",
            Phase::Merging => "merging",
            Phase::Bridged => "bridged",
            Phase::Ending => "ending",
        }
    }
}
