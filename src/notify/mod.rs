//! Who listens on which name, and how an event gets there: the switch publishes a [`Notice`](crate::call::Notice), every
//! subscriber of the name and of the names below it gets one signed JSON event with a bridge token of its own. Messages go the same way.
//! Not here: sockets (`http`), whether a call still waits (`switch`), and who may receive (`policy`, which is asked again at
//! every event).

mod announce;
mod closing;
mod history;
mod letters;
mod listeners;
mod parked;
mod publisher;
mod registry;
mod seat;
mod subscription;
mod waking;
mod watch;

pub use closing::{Closing, is_about_credential};
pub use letters::{Draft, DraftId, NotSent};
pub use publisher::{FanOut, Publisher};
pub use registry::{NotPassed, Registry, Settings, Stats, open};
pub use subscription::{Subscription, Told, What};
pub use waking::{NotWoken, Sleeper};
pub use watch::{NotWatched, contacts};

#[cfg(test)]
mod interleavings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
