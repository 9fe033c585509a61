//! Where a SIP target really is (RFC 3263): NAPTR, SRV, A and AAAA records become a list of ways, in the order in which they are to be
//! tried. Asked by the switch through an effect and answered by an input, on tasks of their own: no call waits for a name server.
//! Not here: which target is asked for and which way is taken (`trunk`).

mod cache;
mod dns;
mod locate;
mod order;
#[cfg(test)]
mod tests;

use crate::limits;
use crate::rng::Rng;
use crate::sip::target::{Carrier, Hop, Target, Unlocated};
use dns::Dns;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// What we can reach.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name servers; without any, those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// What we can send over.
    pub carriers: Vec<Carrier>,
    /// Whether we can send to IPv4 addresses.
    pub v4: bool,
    /// Whether we can send to IPv6 addresses.
    pub v6: bool,
}

/// Finds targets. Made once; cheap to share.
pub struct Resolver {
    dns: Dns,
    settings: Settings,
}

/// One target to be found.
pub struct Wanted<T> {
    /// What the answer is for.
    pub key: T,
    /// The target.
    pub target: Target,
    /// Chance for the choice among equals (RFC 2782).
    pub chance: [u8; 32],
}

/// The queue before [`Resolver::serve`]. A target that does not fit is not found this time.
pub fn queue<T>() -> (mpsc::Sender<Wanted<T>>, mpsc::Receiver<Wanted<T>>) {
    mpsc::channel(limits::LOCATE_QUEUE_MAX)
}

impl Resolver {
    /// Reads `/etc/resolv.conf` if no name server is given.
    pub fn new(settings: Settings) -> Result<Resolver, String> {
        Ok(Resolver { dns: Dns::new(&settings.servers)?, settings })
    }

    /// All ways to a target, the best first: at least one, at most [`limits::HOPS_MAX`].
    pub async fn locate(&self, target: &Target, chance: [u8; 32]) -> Result<Vec<Hop>, Unlocated> {
        let mut rng = Rng::from_seed(chance);
        let located = tokio::time::timeout(limits::LOCATE_MAX, locate::locate(self, target, &mut rng));
        located.await.unwrap_or(Err(Unlocated::Unanswered))
    }

    /// Finds what it is asked for, some at a time, until nobody can ask any more.
    pub async fn serve<T: Send + 'static>(
        self,
        mut wanted: mpsc::Receiver<Wanted<T>>,
        tell: impl Fn(T, Result<Vec<Hop>, Unlocated>) + Send + Sync + 'static,
    ) {
        let (resolver, tell) = (Arc::new(self), Arc::new(tell));
        let places = Arc::new(Semaphore::new(limits::LOCATE_AT_ONCE_MAX));
        while let Some(Wanted { key, target, chance }) = wanted.recv().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (resolver, tell) = (Arc::clone(&resolver), Arc::clone(&tell));
            tokio::spawn(async move {
                let found = resolver.locate(&target, chance).await;
                tell(key, found);
                drop(place);
            });
        }
    }
}
