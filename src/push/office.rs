//! Sends pushes: each in a task of its own, tried a few times while it is worth anything, so many at a time to each host. A service that hangs is
//! waited for by its own pushes alone, and when too many of these are open the next ones are dropped.
//! Not here: who is woken, and when (`waker`).

use super::client::Client;
use super::device::Device;
use super::devices::Devices;
use super::service::{Lane, Letter, Said, Service, Services};
use crate::id::CallId;
use crate::limits;
use crate::name::Name;
use crate::notify::{NotWoken, Registry, Sleeper};
use crate::telemetry::Metrics;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Shared by all tasks that send.
pub(super) struct Office {
    client: Client,
    services: Services,
    registry: Arc<Registry>,
    devices: Arc<Devices>,
    metrics: Arc<Metrics>,
}

/// What a push is about.
enum About {
    /// A call that waits. Its event is made when it goes.
    Call,
    /// That it waits no more.
    End(Bytes),
}

/// How a push ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The service has it.
    Delivered,
    /// The device is not there any more, and was forgotten.
    Dead,
    /// The service does not take it.
    Refused,
    /// It was tried as often as may be.
    Failed,
    /// It would have come too late.
    Late,
    /// The call was over before.
    Over,
    /// Policy has said no.
    Withheld,
    /// Too many pushes were open.
    Dropped,
}

impl Outcome {
    /// As metrics have it.
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Dead => "dead",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Late => "late",
            Outcome::Over => "over",
            Outcome::Withheld => "withheld",
            Outcome::Dropped => "dropped",
        }
    }
}

/// One push.
struct Errand {
    called: Name,
    call: CallId,
    device: Arc<Device>,
    service: Arc<Service>,
    about: About,
    /// From then on it is worth nothing.
    until: Wall,
    /// Its place among the open ones.
    _place: OwnedSemaphorePermit,
}

impl Office {
    /// With these services.
    pub(super) fn new(
        client: Client,
        services: Services,
        registry: Arc<Registry>,
        devices: Arc<Devices>,
        metrics: Arc<Metrics>,
    ) -> Arc<Office> {
        Arc::new(Office { client, services, registry, devices, metrics })
    }

    /// Whom it asks about calls and connections.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where pushes are counted.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Wakes a device for a call that waits until then. What it returns says in the end whether the service has taken it.
    pub(super) fn wake(
        self: &Arc<Office>,
        (called, call): (&Name, CallId),
        device: &Arc<Device>,
        until: Wall,
    ) -> Option<JoinHandle<bool>> {
        let errand = self.errand((called, call), device, About::Call, until)?;
        let office = Arc::clone(self);
        Some(tokio::spawn(async move { office.run(errand).await == Outcome::Delivered }))
    }

    /// Says that the call is over to a device that was woken for it, once that is known, where the service can take a push back.
    pub(super) fn take_back(
        self: &Arc<Office>,
        (called, call): (&Name, CallId),
        (device, woken): (Arc<Device>, JoinHandle<bool>),
        text: Bytes,
    ) {
        let tells_end = self.services.get(&device.target.provider).is_some_and(|service| service.tells_end(&device));
        if !tells_end {
            return;
        }
        let until = self.registry.now().wall + limits::PUSH_END_LIFE;
        let Some(errand) = self.errand((called, call), &device, About::End(text), until) else { return };
        let office = Arc::clone(self);
        tokio::spawn(async move {
            if woken.await.unwrap_or(false) {
                office.run(errand).await;
            }
        });
    }

    /// A push with its place among the open ones; without one it is dropped.
    fn errand(
        &self,
        (called, call): (&Name, CallId),
        device: &Arc<Device>,
        about: About,
        until: Wall,
    ) -> Option<Errand> {
        let service = Arc::clone(self.services.get(&device.target.provider)?);
        let Ok(place) = Arc::clone(&service.open).try_acquire_owned() else {
            self.count(&service, Outcome::Dropped);
            return None;
        };
        let (called, device) = (called.clone(), Arc::clone(device));
        Some(Errand { called, call, device, service, about, until, _place: place })
    }

    async fn run(&self, errand: Errand) -> Outcome {
        let outcome = self.deliver(&errand).await;
        if outcome == Outcome::Dead {
            self.devices.remove(errand.device.id);
        }
        self.count(&errand.service, outcome);
        let Errand { call, device, service, .. } = &errand;
        let outcome_text = outcome.as_str();
        tracing::info!(%call, device = %device.id, service = service.name, outcome = outcome_text, "a push");
        outcome
    }

    async fn deliver(&self, errand: &Errand) -> Outcome {
        let Some(lane) = errand.service.lane(&errand.device) else { return Outcome::Refused };
        let mut pause = Duration::ZERO;
        for attempt in 1..=limits::PUSH_ATTEMPTS_MAX {
            match self.attempt(errand, lane, pause).await {
                Ok(Said::Taken) => return Outcome::Delivered,
                Ok(Said::Dead) => return Outcome::Dead,
                Ok(Said::Refused(what)) => {
                    tracing::warn!(device = %errand.device.id, service = errand.service.name, "a push was refused: {what}");
                    return Outcome::Refused;
                }
                Ok(Said::Again(after, what)) => {
                    tracing::debug!(device = %errand.device.id, service = errand.service.name, attempt, "a push failed: {what}");
                    after.into_iter().for_each(|after| lane.hold(after));
                    pause = limits::PUSH_PAUSE_MIN * attempt;
                }
                Err(outcome) => return outcome,
            }
        }
        Outcome::Failed
    }

    /// One try, after a pause and when it is its turn.
    async fn attempt(&self, errand: &Errand, lane: &Lane, pause: Duration) -> Result<Said, Outcome> {
        let pause = pause.max(lane.held());
        if pause >= self.left(errand) {
            return Err(Outcome::Late);
        }
        tokio::time::sleep(pause).await;
        let turn = tokio::time::timeout(self.left(errand), lane.asking.acquire()).await;
        let _turn = turn.map_err(|_| Outcome::Late)?.map_err(|_| Outcome::Dropped)?;
        let text = self.text(errand)?;
        let lasts = self.left(errand);
        let letter = Letter { device: Arc::clone(&errand.device), call: errand.call, text, lasts };
        Ok(errand.service.say(&self.client, self.registry.now().wall, &letter).await)
    }

    /// The event, made at the last moment: the call may be over, and the owner's grant gone.
    fn text(&self, errand: &Errand) -> Result<Bytes, Outcome> {
        let Errand { called, call, device, service, about, .. } = errand;
        match about {
            About::End(text) => Ok(text.clone()),
            About::Call => {
                let (name, proof) = (&device.name, &device.proof);
                let sleeper = Sleeper { name, proof, has_token: service.has_token, longest: service.longest() };
                self.registry.waking((called, *call), sleeper).map(Bytes::from).map_err(|why| match why {
                    NotWoken::Over => Outcome::Over,
                    NotWoken::Withheld(reason) => {
                        tracing::info!(%call, device = %device.id, reason = reason.as_str(), "a device may not be woken");
                        Outcome::Withheld
                    }
                    NotWoken::TooLong => Outcome::Refused,
                })
            }
        }
    }

    fn left(&self, errand: &Errand) -> Duration {
        Duration::from_millis(errand.until.0.saturating_sub(self.registry.now().wall.0))
    }

    fn count(&self, service: &Service, outcome: Outcome) {
        self.metrics.push_total.with_all(&[service.kind, outcome.as_str()]).inc();
    }
}
