//! Who may be parked: a trunk's INVITE to a number that has a route, within the caps, with an offer that we can relay.
//! Everybody else gets a final response and leaves nothing behind.
//! Not here: callbacks (`callback`), and what becomes of a call once it is parked (`call`).

use super::Switch;
use super::step::Standing;
use crate::call::{Call, Event, Facts, Pending, Refusal, Ring, Route, Trunk};
use crate::id::{CallId, Side};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::sip::Path;
use crate::sip::endpoint::Owner;
use crate::sip::wire::{Message, Start};
use crate::time::Now;
use std::sync::Arc;

impl Switch {
    /// An INVITE that is no callback.
    pub(super) fn admit(&mut self, now: Now, path: Path, invite: &Message<'_>) {
        // Whoever is not known may have a forged address: his answer is no larger than what he sent (RELIABILITY A19).
        let (is_known, admission) = match self.trunk_for(now, path, invite) {
            Ok(trunk) => (true, self.admission(now, path, invite, trunk)),
            Err(refusal) => (false, Err(refusal)),
        };
        match admission {
            Ok((trunk, route)) => self.park(now, path, invite, trunk, route),
            Err(refusal) => {
                tracing::debug!(peer = %path, status = refusal.status, reason = refusal.id, "an INVITE was refused");
                self.stats.refused.note_refusal(&refusal);
                refusal.write(|reply| match is_known {
                    false => self.endpoint.reply(now, path, invite, reply),
                    true => self.endpoint.reply_known(now, path, invite, reply),
                });
            }
        }
    }

    /// Whose call it is: by its way, or by a password.
    fn trunk_for(&mut self, now: Now, path: Path, invite: &Message<'_>) -> Result<Arc<Trunk>, Refusal> {
        match self.trunk_of(path).cloned() {
            Some(trunk) => Ok(trunk),
            None => self.trunk_by_password(now, invite),
        }
    }

    /// Where it goes, or why it is refused.
    fn admission(
        &mut self,
        now: Now,
        path: Path,
        invite: &Message<'_>,
        trunk: Arc<Trunk>,
    ) -> Result<(Arc<Trunk>, Arc<Route>), Refusal> {
        let source = path.peer.ip().to_canonical();
        if self.draining && !planted(Mutant::DrainIgnored) {
            return Err(self.busy("draining"));
        }
        // Before anything that costs: to refuse is a tenth of the work of a call.
        if self.is_behind && !planted(Mutant::BacklogIgnored) {
            return Err(self.busy("overload"));
        }
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let number = trunk.called.apply(called_user(invite, &mut buffer).unwrap_or(""));
        let route = self.settings.route_of(&number).cloned();
        let route = route.ok_or_else(|| Refusal::warned(404, "no_route", "this number has no route"))?;
        crate::call::check_session_timer(invite, &self.settings.call)?;
        if !invite.description().is_empty() {
            crate::call::acceptable(invite.description(), path.transport, &trunk, &self.settings.call)?;
        }
        let caps = self.settings.caps;
        let waiting = self.lot.waiting();
        let slack = u32::from(planted(Mutant::CapOffByOne));
        let full = [
            ("cap_total", waiting.total() >= caps.total),
            ("cap_trunk", waiting.of_trunk(&trunk.name) >= trunk.calls_max),
            ("cap_name", waiting.of_name(&route.name) >= caps.per_name.saturating_add(slack)),
            ("cap_source", waiting.of_source(source) >= caps.per_source),
        ];
        if let Some((which, _)) = full.iter().find(|(_, full)| *full) {
            return Err(self.busy(which));
        }
        match trunk.calls_per_second_max.map_or(Ok(()), |most| self.rates.take(now.at, &trunk.name, most)) {
            Ok(()) => Ok((trunk, route)),
            // In whole seconds, and at least one (RFC 3261 §20.33).
            Err(wait) => Err(busy_for("rate_trunk", wait.as_secs() + 1)),
        }
    }

    /// No room: come back later.
    pub(super) fn busy(&self, which: &'static str) -> Refusal {
        busy_for(which, self.settings.caps.retry_after.as_secs())
    }

    fn park(&mut self, now: Now, path: Path, invite: &Message<'_>, trunk: Arc<Trunk>, route: Arc<Route>) {
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let called = trunk.called.apply(called_user(invite, &mut buffer).unwrap_or("")).into();
        let at = self.lot.next();
        let Some((transaction, dialog)) =
            self.endpoint.accept(now, path, invite, Owner { call: at, side: Side::Caller })
        else {
            return;
        };
        let id = CallId(self.rng.u128());
        let source = path.peer.ip().to_canonical();
        self.lot.waiting().begin(&trunk.name);
        let facts = Facts {
            id,
            at,
            trunk,
            route,
            called,
            source,
            started: now,
            refused: (0, None),
            rang_ms: None,
            waits_since: now,
            transfers: Vec::new(),
        };
        let ring = Ring::of(invite, &self.settings.call);
        let caller = Pending { dialog, invite: transaction, peer: path.peer.ip(), ring };
        let call = Call::new(facts.clone(), caller);
        self.account(now, &facts, Standing::default(), Standing::of(&call));
        self.stats.calls += 1;
        self.lot.insert(at, id, call);
        self.step(now, at, Event::Routed { invite });
    }
}

fn busy_for(which: &'static str, seconds: u64) -> Refusal {
    Refusal::warned(503, which, "too many calls, try again later").with_first("Retry-After", [seconds.to_string()])
}

/// The user part of the Request-URI, unescaped: the number that was called.
pub(super) fn called_user<'b>(request: &Message<'_>, buffer: &'b mut [u8]) -> Option<&'b str> {
    let Start::Request { uri, .. } = request.start() else { return None };
    std::str::from_utf8(uri.user_unescaped(buffer)?).ok()
}
