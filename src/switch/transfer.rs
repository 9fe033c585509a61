//! A REFER in a bridge (RFC 3515): who may hand a call to whom. Asked in this order: who sends it, what it wants, where that would go,
//! policy, and whether there is room. Nothing of the call changes until all of them have said yes.
//! Not here: what becomes of the call then (`call::transfer`).
//!
//! | what comes | what it gets |
//! |---|---|
//! | from the caller | 403: what a trunk's caller wants is not asked; only who has proved who he is can be granted anything |
//! | no Refer-To that can be read, or several | 400 (RFC 3515 §2.4.2) |
//! | neither SIP, SIPS nor tel | 416: what RFC 3261 §21.4.14 has for a URI that means nothing to us |
//! | `Replaces` in it, or a method that is not INVITE | 603: an attended transfer joins two dialogs of other parties', which is declined (RFC 3515 §2.4.2); 501 would say that REFER is unknown |
//! | a user part that no name and no number of a route is | 404 |
//! | policy says no, or would have to ask somebody | 403 |
//! | a drain, no room, too many transfers of one call | 503, 403 |
//! | something is under way in the bridge | 500 with Retry-After |

use super::Switch;
use super::identity::only;
use crate::call::{Event, Referral, Refusal, Route};
use crate::id::{CallId, Side};
use crate::limits;
use crate::name::Name;
use crate::policy::{self, Action, Decision, MediaKinds, Permit, Query, Reason, Spent, Subject, Verdict};
use crate::sip::Path;
use crate::sip::endpoint::{Owner, ServerId};
use crate::sip::wire::{Header, Message, NameAddr, Scheme, Uri};
use crate::time::Now;
use std::sync::Arc;

/// Punctuation in a telephone number that is not dialled (RFC 3966 §5.1.1).
const VISUAL_SEPARATORS: [char; 4] = ['-', '.', '(', ')'];

impl Switch {
    /// A REFER in the dialog of a bridge's leg.
    pub(super) fn refer(
        &mut self,
        now: Now,
        owner: Owner,
        transaction: ServerId,
        (path, request): (Path, &Message<'_>),
    ) {
        let is_first = self.lot.get_mut(owner.call).is_some_and(|call| owner.side == Side::Client && call.note_refer());
        let referred = self.referred(now, owner, path, request);
        match referred {
            Ok((route, permit)) => {
                let event = is_reported(request).then(|| match is_first {
                    true => "refer".to_owned(),
                    // RFC 3515 §2.4.6.
                    false => format!("refer;id={}", request.cseq().number),
                });
                let referral = Referral { transaction, route, event, permit };
                let before = self.transfers(owner);
                self.step(now, owner.call, Event::Referred(Box::new(referral)));
                self.stats.transfers.note(if self.transfers(owner) > before { "accepted" } else { "refused" });
            }
            Err(refusal) => {
                self.stats.transfers.note(if refusal.status == 403 { "denied" } else { "refused" });
                tracing::info!(peer = %path, status = refusal.status, reason = refusal.id, "a transfer was refused");
                refusal.write(|reply| self.endpoint.respond(now, transaction, reply));
            }
        }
    }

    /// How often the call was handed on.
    fn transfers(&self, owner: Owner) -> usize {
        self.lot.get(owner.call).map_or(0, |call| call.facts().transfers.len())
    }

    fn referred(
        &mut self,
        now: Now,
        owner: Owner,
        path: Path,
        request: &Message<'_>,
    ) -> Result<(Arc<Route>, Permit), Refusal> {
        if owner.side == Side::Caller {
            return Err(denied(Reason::TransferNotGranted));
        }
        let user = target(request)?;
        let route = self.transfer_route(&user);
        let route = route.ok_or_else(|| Refusal::warned(404, "no_route", "nobody here is called that"))?;
        let call = self.lot.get(owner.call).ok_or_else(|| Refusal::status(481))?;
        let (id, transfers) = (call.facts().id, call.facts().transfers.len());
        let permit = self.may_transfer(now, owner, (id, &route.name), path)?;
        if transfers >= limits::TRANSFERS_MAX {
            return Err(Refusal::warned(403, "too_many_transfers", "the call was handed on too often"));
        }
        self.room_to_wait(&route.name)?;
        Ok((route, permit))
    }

    /// The name itself goes before a number that is written the same, since a route for all numbers would have every name.
    fn transfer_route(&self, user: &str) -> Option<Arc<Route>> {
        let named = Name::parse(user).ok().and_then(|name| {
            let route = self.settings.routes.iter().find(|route| route.name.reaches(&name))?;
            Some(if route.name == name { route.clone() } else { Arc::new(Route { name, ..Route::clone(route) }) })
        });
        named.or_else(|| self.settings.route_of(user).cloned())
    }

    /// Asks policy. Whoever dialled the URI of an event is nobody whom anything could be granted.
    fn may_transfer(&self, now: Now, owner: Owner, (id, name): (CallId, &Name), path: Path) -> Result<Permit, Refusal> {
        let call = self.lot.get(owner.call);
        let called = call.map(|call| &*call.facts().called);
        let answerer = call.and_then(|call| call.answerer()?.0);
        let claims = answerer.and_then(|who| who.claims(self.keyring.users()));
        let subject = claims.map_or(Subject::Nobody, Subject::Claims);
        let (media, source, call, spent) = (MediaKinds::NONE, Some(path.peer.ip()), Some(id), Spent::default());
        let query = Query { action: Action::Transfer, subject, name, media, source, usage: 0, spent, call, called };
        match policy::ask(&*self.engine, now, &query) {
            Decision::Verdict(Verdict::Allow(permit)) => Ok(permit),
            Decision::Verdict(Verdict::Deny(reason)) => Err(denied(reason)),
            Decision::Ask(_question) => Err(denied(Reason::PolicyUnavailable)),
        }
    }

    /// A call that waits again counts as one that waits.
    fn room_to_wait(&mut self, name: &Name) -> Result<(), Refusal> {
        if self.draining {
            return Err(self.busy("draining"));
        }
        let caps = self.settings.caps;
        let waiting = self.lot.waiting();
        let full = [("cap_total", waiting.total() >= caps.total), ("cap_name", waiting.of_name(name) >= caps.per_name)];
        full.iter().find(|(_, is_full)| *is_full).map_or(Ok(()), |(which, _)| Err(self.busy(which)))
    }
}

fn denied(reason: Reason) -> Refusal {
    Refusal::warned(403, reason.as_str(), reason.title())
}

/// Whether the sender wants to be told what comes of it (RFC 4488 §4: it does unless it says that it does not).
fn is_reported(request: &Message<'_>) -> bool {
    let word = request.other("Refer-Sub").and_then(|value| value.split(|byte| *byte == b';').next());
    !word.is_some_and(|word| word.trim_ascii().eq_ignore_ascii_case(b"false"))
}

/// Whom the call is to wait for: the user part of Refer-To, or the number of a tel URI.
fn target(request: &Message<'_>) -> Result<String, Refusal> {
    let wrong = || Refusal::warned(400, "refer_to_unclear", "one Refer-To is needed, and one that can be read");
    let value = only(request.values(Header::ReferTo)).ok_or_else(wrong)?;
    let uri = NameAddr::parse(value).map_err(|_| wrong())?.uri;
    let mut buffer = [0; limits::NAME_BYTES_MAX];
    let user = match uri.scheme {
        Scheme::Sip | Scheme::Sips => {
            check_intent(&uri)?;
            let user = uri.user_unescaped(&mut buffer).ok_or_else(wrong)?;
            std::str::from_utf8(user).map_err(|_| wrong())?.to_owned()
        }
        Scheme::Other(scheme) if scheme.eq_ignore_ascii_case(b"tel") => {
            let number = uri.opaque().split(|byte| *byte == b';').next().unwrap_or_default();
            std::str::from_utf8(number).map_err(|_| wrong())?.replace(VISUAL_SEPARATORS, "")
        }
        Scheme::Other(_) => {
            return Err(Refusal::warned(416, "refer_to_scheme", "only sip, sips and tel are known here"));
        }
    };
    if user.is_empty() { Err(wrong()) } else { Ok(user) }
}

/// Only a new call is meant: no other request, and none that takes the place of a dialog (RFC 3891).
fn check_intent(uri: &Uri<'_>) -> Result<(), Refusal> {
    let declined = |sentence| Refusal::warned(603, "transfer_not_blind", sentence);
    let names = uri.headers.split(|byte| *byte == b'&').filter_map(|header| header.split(|byte| *byte == b'=').next());
    if names.into_iter().any(|name| name.eq_ignore_ascii_case(b"replaces")) {
        return Err(declined("no dialog is replaced here"));
    }
    match uri.param("method") {
        None => Ok(()),
        Some(Some(method)) if method.eq_ignore_ascii_case(b"invite") => Ok(()),
        Some(_) => Err(declined("a call can only be handed on by INVITE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(headers: &str) -> String {
        format!(
            "REFER sip:x@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:a@a.example>;tag=1\r\nTo: <sip:foo@192.0.2.9>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 REFER\r\n\
             {headers}Content-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn one_new_call_to_somebody_is_what_may_be_asked_for() {
        for (headers, expected) in [
            ("Refer-To: <sip:sales@pbx.example>\r\n", Ok("sales")),
            ("r: \"Sales\" <sips:sales/web@pbx.example;transport=tcp;method=invite>\r\n", Ok("sales/web")),
            ("Refer-To: sip:ann%40example.com@pbx\r\n", Ok("ann@example.com")),
            ("Refer-To: <tel:+49(30)12-34.56;phone-context=x>\r\n", Ok("+4930123456")),
            ("Refer-To: <sip:sales@pbx?Subject=hello>\r\n", Ok("sales")),
            ("", Err(400)),
            ("Refer-To: <sip:sales@pbx>, <sip:b@pbx>\r\n", Err(400)),
            ("Refer-To: <sip:pbx>\r\n", Err(400)),
            ("Refer-To: <sip:%FF@pbx>\r\n", Err(400)),
            ("Refer-To: <tel:;x=y>\r\n", Err(400)),
            ("Refer-To: no address\r\n", Err(400)),
            ("Refer-To: <mailto:a@b>\r\n", Err(416)),
            ("Refer-To: <sip:sales@pbx?a=b&REPLACES=1%3Bto-tag%3D2>\r\n", Err(603)),
            ("Refer-To: <sip:sales@pbx;method=SUBSCRIBE>\r\n", Err(603)),
        ] {
            let text = refer(headers);
            let request = Message::parse(text.as_bytes()).unwrap();
            let found = target(&request).map_err(|refusal| refusal.status);
            assert_eq!(found.as_deref().map_err(|status| *status), expected, "{headers}");
        }
    }

    #[test]
    fn who_refers_is_told_what_came_of_it_unless_it_says_no() {
        for (headers, expected) in [
            ("", true),
            ("Refer-Sub: true\r\n", true),
            ("Refer-Sub: false\r\n", false),
            ("refer-sub: FALSE ;x=y\r\n", false),
        ] {
            let text = refer(headers);
            assert_eq!(is_reported(&Message::parse(text.as_bytes()).unwrap()), expected, "{headers}");
        }
    }
}
