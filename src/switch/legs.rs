//! What comes in a dialog, and whose it is: a leg's of the call, a client's that has handed the call on, or a callback's that waits for
//! policy. All of them belong to the same call, and none may be taken for another.
//! Not here: what a call does with it (`call`), and dialogs of subscriptions (`subscribe`).

use super::Switch;
use crate::call::{Event, FromTransferor, Phase, plain};
use crate::id::Side;
use crate::sip::Path;
use crate::sip::endpoint::{ClientId, DialogId, Owner, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::Now;

impl Switch {
    /// A request in a dialog. A callback that waits for policy has a dialog of its own, which must not be taken for the leg of
    /// the call that it wants.
    pub(super) fn handle_in_dialog(
        &mut self,
        now: Now,
        (owner, dialog): (Owner, DialogId),
        transaction: ServerId,
        path: Path,
        request: &Message<'_>,
    ) {
        let is_refer = request.start().method() == Some(Method::Refer);
        if self.is_leg(owner, dialog) {
            if is_refer && self.lot.get(owner.call).is_some_and(|call| call.state() == Phase::Bridged) {
                return self.refer(now, owner, transaction, (path, request));
            }
            return self.step(now, owner.call, Event::Request { side: owner.side, transaction, request });
        }
        if self.is_transferor(owner, dialog) {
            let event = FromTransferor::Request { transaction, request };
            return self.step(now, owner.call, Event::FromTransferor(event));
        }
        let bye = request.start().method() == Some(Method::Bye);
        if self.lifted_asks(now, owner.call, dialog, transaction, request) {
            return;
        }
        if !(bye && self.withdraw(now, owner.call, Some(transaction), |asking| asking.is_dialog(dialog))) {
            self.endpoint.respond(now, transaction, &plain(481));
        }
    }

    fn is_leg(&self, owner: Owner, dialog: DialogId) -> bool {
        self.lot.get(owner.call).is_some_and(|call| call.dialog(owner.side) == Some(dialog))
    }

    fn is_transferor(&self, owner: Owner, dialog: DialogId) -> bool {
        owner.side == Side::Client && self.lot.get(owner.call).is_some_and(|call| call.is_transferor(dialog))
    }

    pub(super) fn step_leg(&mut self, now: Now, owner: Owner, dialog: DialogId, event: Event<'_>) {
        if self.is_leg(owner, dialog) {
            self.step(now, owner.call, event);
        }
    }

    /// A response to a request of ours in a dialog, or none at all.
    pub(super) fn hear_response(
        &mut self,
        now: Now,
        (owner, dialog): (Owner, DialogId),
        transaction: ClientId,
        response: Option<&Message<'_>>,
    ) {
        if self.is_transferor(owner, dialog) {
            let event = FromTransferor::Response { transaction, response };
            return self.step(now, owner.call, Event::FromTransferor(event));
        }
        let side = owner.side;
        let event = match response {
            Some(response) => Event::Response { side, transaction, response },
            None => Event::Failed { side, transaction },
        };
        self.step_leg(now, owner, dialog, event);
    }
}
