//! A client's INVITE with a bridge token: who is it, is the token good, does the call still wait, does policy allow it? In that
//! order, each step cheaper to refuse than the next, and nothing is kept of an INVITE that fails before policy is asked.
//! Not here: the joining of the two legs (`call::merging`).
//!
//! ```text
//!  credential ─401─▶ token ─403─▶ its call ─410/486─▶ policy ─403─▶ Callback ─▶ the call
//! ```

use super::Switch;
use super::admit::called_user;
use super::identity::{Identified, only};
use super::usage::Place;
use crate::call::{Callback, Event, GoneReason, Joining, Pending, Phase, Refusal, Ring};
use crate::id::{CallId, CallRef, QuestionId, Side};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::{
    self, Action, Answer, Claims, Decision, MediaKinds, PolicyEngine, Query, Reason, Subject, Verdict, Who,
};
use crate::sip::Path;
use crate::sip::endpoint::{DialogId, Owner, ServerId};
use crate::sip::wire::Message;
use crate::time::{Duration, Now};
#[cfg(feature = "sim")]
use crate::token::SubjectHash;
use crate::token::{self, Audience, Claim};

/// The header that carries the token of a client which can set headers.
const TOKEN_HEADER: &str = "X-Bridge-Token";

/// Who calls back.
pub(super) enum Caller {
    /// Somebody with a credential and the token in a header: both must belong together.
    Known { claims: Box<Claims>, name: Name, who: Who },
    /// A telephone that dialled the URI from the event: whoever holds it may answer.
    Dialled,
}

/// A callback that was accepted as a request and now waits for policy.
pub(super) struct Asking {
    pub(super) leg: Joining,
    pub(super) call: CallRef,
    pub(super) id: CallId,
    pub(super) claim: Claim,
    pub(super) caller: Caller,
    /// What is reserved for it meanwhile.
    pub(super) place: Place,
}

impl Switch {
    /// Whether an INVITE brings a token: in the header, or as the user part of its Request-URI.
    pub(super) fn is_callback(request: &Message<'_>) -> bool {
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        request.other(TOKEN_HEADER).is_some()
            || called_user(request, &mut buffer).is_some_and(|user| token::looks_like(user.as_bytes()))
    }

    /// A client calls back.
    pub(super) fn call_back(&mut self, now: Now, path: Path, invite: &Message<'_>) {
        let (refusal, is_known) = match self.caller(now, invite) {
            Ok((caller, claim)) => match self.find_waiting(now, &caller, &claim).and_then(|found| {
                crate::call::check_session_timer(invite, &self.settings.call)?;
                Ok(found)
            }) {
                Ok((call, id)) => return self.take_in(now, path, invite, (call, id), claim, caller),
                Err(refusal) => (refusal, true),
            },
            Err(refused) => refused,
        };
        let (status, reason) = (refusal.status, refusal.id);
        tracing::debug!(peer = %path, token = %brought(invite), status, reason, "a callback was refused");
        self.stats.note_callback_refused(refusal.status);
        refusal.write(|reply| match is_known {
            true => self.endpoint.reply_known(now, path, invite, reply),
            false => self.endpoint.reply(now, path, invite, reply),
        });
    }

    /// Who it is, and the opened token. All ways in which a token can be wrong look the same. A refusal comes with whether it must be
    /// kept for repetitions: a password's proof is good once, so the same INVITE would not come as far again.
    fn caller(&mut self, now: Now, invite: &Message<'_>) -> Result<(Caller, Claim), (Refusal, bool)> {
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let user = called_user(invite, &mut buffer).unwrap_or("");
        let bad_token = |kept| (Refusal::warned(403, "bridge_token_invalid", "the bridge token is not valid"), kept);
        if invite.other(TOKEN_HEADER).is_none() {
            let claim = self.open(now, user.as_bytes(), &Audience::Dial).map_err(|_| bad_token(false))?;
            return Ok((Caller::Dialled, claim));
        }
        let identified = self.identify(now, invite).map_err(|refusal| (refusal, false))?;
        let who = identified.who();
        let Identified { claims, once } = identified;
        let name = Name::parse(user).map_err(|_| bad_token(once))?;
        let text = only(invite.others(TOKEN_HEADER)).ok_or_else(|| bad_token(once))?;
        let audience = Audience::Client { name: &name, subject: claims.subject() };
        let claim = self.open(now, text, &audience).map_err(|_| bad_token(once))?;
        Ok((Caller::Known { claims, name, who }, claim))
    }

    /// Opens a token. Its expiry is in the time of the wall clock as it went when the call came (RELIABILITY §2.1): somebody who sets that
    /// clock ends no token of a call that we know.
    pub(super) fn open(&self, now: Now, text: &[u8], audience: &Audience<'_>) -> Result<Claim, token::Invalid> {
        token::open_if(&self.keys, now.wall, text, audience, |contents| {
            let started = self.lot.started(contents.call);
            started.map_or(now.wall, |started| started.wall + (now.at - started.at)) < contents.expires
        })
    }

    /// The call that the token is for, if it still waits; otherwise what became of it (PRODUCT "Late truth").
    pub(super) fn find_waiting(
        &mut self,
        now: Now,
        caller: &Caller,
        claim: &Claim,
    ) -> Result<(CallRef, CallId), Refusal> {
        let id = claim.call();
        if let Some(fate) = self.lot.fates().of(now.at, id) {
            let winner = fate.winner.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
            let sentence = format!("{}{winner} at {}", fate.reason.as_str(), fate.at);
            let refusal = Refusal::warned(410, fate.reason.as_str(), &sentence);
            return Err(refusal.with_first("Reason", [fate.reason.reason_header().to_owned()]));
        }
        let gone = || Refusal::warned(410, "unknown_call", "the call is over");
        let at = self.lot.find(id).ok_or_else(gone)?;
        let call = self.lot.get(at).ok_or_else(gone)?;
        let reached = match caller {
            Caller::Known { name, .. } => call.facts().route.name.reaches(name),
            Caller::Dialled => true,
        };
        let current = claim.generation() == call.facts().generation() || planted(Mutant::TokenGeneration);
        if !reached || !current {
            return Err(gone());
        }
        match call.state() {
            Phase::Parked => Ok((at, id)),
            Phase::Merging => Err(Refusal::because(486, GoneReason::AnsweredElsewhere.reason_header())),
            Phase::Arriving | Phase::Bridged | Phase::Ending => Err(gone()),
        }
    }

    /// The INVITE is kept from here on, so that its repetitions ask nobody anything.
    fn take_in(
        &mut self,
        now: Now,
        path: Path,
        invite: &Message<'_>,
        (call, id): (CallRef, CallId),
        claim: Claim,
        caller: Caller,
    ) {
        let owner = Owner { call, side: Side::Client };
        let Some((transaction, dialog)) = self.endpoint.accept(now, path, invite, owner) else { return };
        let leg = Pending { dialog, invite: transaction, peer: path.peer.ip(), ring: Ring::Never };
        self.ask_policy(now, Joining::Called(leg), (call, id), claim, caller);
    }

    /// Whether the client may have the call. The place that it may take is reserved before anybody is asked.
    pub(super) fn ask_policy(
        &mut self,
        now: Now,
        leg: Joining,
        (call, id): (CallRef, CallId),
        claim: Claim,
        caller: Caller,
    ) {
        let place = self.usage.reserve(claim.subject());
        let asking = Asking { leg, call, id, claim, caller, place };
        let decision = self.with_query(now, &asking, |engine, query| match asking.leg {
            Joining::Rung(_) if planted(Mutant::TelephoneNotAsked) => {
                Decision::Verdict(Verdict::allow(query, policy::GRANTED))
            }
            Joining::Rung(_) | Joining::Called(_) => policy::ask(engine, now, query),
        });
        if planted(Mutant::PlaceNotReserved) {
            self.usage.release(asking.claim.subject(), place);
        }
        let decision = decision.unwrap_or(Decision::Verdict(Verdict::Deny(Reason::PolicyUnavailable)));
        match decision {
            Decision::Verdict(verdict) => self.decided(now, asking, verdict),
            Decision::Ask(question) => self.wait_for_answer(now, asking, question),
        }
    }

    fn wait_for_answer(&mut self, now: Now, asking: Asking, question: policy::Question) {
        let id = self.questions.ask(now.at, asking);
        self.effects.push_back(super::Effect::Ask { id, question });
    }

    /// The answer to a question. A callback that was taken back meanwhile is not waiting for it any more.
    pub(super) fn handle_answer(&mut self, now: Now, question: QuestionId, answer: Answer) {
        let Some(asking) = self.questions.close(question) else { return };
        let verdict = self.with_query(now, &asking, |engine, query| policy::settle(engine, now, query, answer));
        self.decided(now, asking, verdict.unwrap_or(Verdict::Deny(Reason::PolicyUnavailable)));
    }

    /// Asks with what is to be known of a callback: who it is, the call, and what he has already. `None`: there is no such call any more.
    fn with_query<T>(
        &self,
        now: Now,
        asking: &Asking,
        ask: impl FnOnce(&dyn PolicyEngine, &Query<'_>) -> T,
    ) -> Option<T> {
        let facts = self.lot.get(asking.call)?.facts();
        let (name, subject, granted) = match &asking.caller {
            Caller::Known { name, claims, .. } => (name, Subject::Claims(claims), claims.grant().media),
            Caller::Dialled => (&facts.route.name, Subject::Dial(asking.claim.subject()), MediaKinds::NONE),
        };
        // What is not granted is not asked for: the line is refused then, and not the call.
        let media = MediaKinds::AUDIO | granted & (MediaKinds::VIDEO | MediaKinds::IMAGE);
        let (usage, spent) = self.usage.before(now.at, asking.claim.subject(), asking.place);
        let query = Query {
            action: Action::Bridge,
            subject,
            name,
            media,
            source: Some(asking.leg.peer()),
            usage,
            spent,
            call: Some(asking.id),
            called: Some(&facts.called),
        };
        Some(ask(&*self.engine, &query))
    }

    /// A call that counts among those that its subject may answer needs somebody to count them.
    fn counted(&mut self, now: Now, asking: &Asking, verdict: Verdict) -> Verdict {
        let expires = match &asking.caller {
            Caller::Known { claims, .. } => claims.expires(),
            Caller::Dialled => now.wall,
        };
        let until = now.at + Duration::from_millis(expires.0.saturating_sub(now.wall.0));
        match verdict {
            Verdict::Allow(permit) if permit.counts() && !self.usage.count(now.at, asking.claim.subject(), until) => {
                Verdict::Deny(Reason::CallsUncounted)
            }
            Verdict::Allow(_) | Verdict::Deny(_) => verdict,
        }
    }

    /// Policy has spoken.
    fn decided(&mut self, now: Now, asking: Asking, verdict: Verdict) {
        let verdict = self.counted(now, &asking, verdict);
        self.stats.verdicts.note_verdict(&verdict);
        let subject = asking.claim.subject();
        let Asking { leg, call, id, claim, caller, place } = asking;
        match verdict {
            Verdict::Allow(permit) if self.lot.get(call).is_some_and(|call| call.state() == Phase::Parked) => {
                let (winner, who) = match caller {
                    Caller::Known { name, who, .. } => (Some(name), Some(who)),
                    Caller::Dialled => (self.lot.get(call).map(|call| call.facts().route.name.clone()), None),
                };
                // The call takes it itself from now on, if it keeps it.
                self.usage.release(subject, place);
                if let Some(winner) = winner {
                    let callback = Callback { client: leg, permit, claim, winner, who };
                    self.step(now, call, Event::Callback(Box::new(callback)));
                }
            }
            Verdict::Allow(_) => {
                self.usage.release(subject, place);
                if !planted(Mutant::SecondCallbackLost) {
                    self.refuse_late(now, leg, id);
                }
            }
            Verdict::Deny(reason) => {
                if !planted(Mutant::PlaceKept) {
                    self.usage.release(subject, place);
                }
                tracing::info!(call = %id, peer = %leg.peer(), reason = reason.as_str(), "policy denied a callback");
                let refusal = Refusal::warned(403, reason.as_str(), reason.title());
                self.stats.callbacks.note("denied");
                leg.refuse(&mut self.turn(now), &refusal);
                if let Some(call) = self.lot.get_mut(call) {
                    call.note_refusal(reason.as_str());
                }
            }
        }
    }

    /// Another was first, or the call is over.
    fn refuse_late(&mut self, now: Now, leg: Joining, id: CallId) {
        let reason = self.lot.fates().of(now.at, id).map(|fate| fate.reason);
        let refusal = match reason {
            Some(reason) => Refusal::because(410, reason.reason_header()),
            None => Refusal::because(486, GoneReason::AnsweredElsewhere.reason_header()),
        };
        self.stats.note_callback_refused(refusal.status);
        leg.refuse(&mut self.turn(now), &refusal);
    }

    /// A client takes back a callback that policy has not decided yet, perhaps by a BYE, which is answered. `false`: there is no such
    /// callback.
    pub(super) fn withdraw(
        &mut self,
        now: Now,
        call: CallRef,
        bye: Option<ServerId>,
        which: impl Fn(&Asking) -> bool,
    ) -> bool {
        let Some(asking) = self.questions.close_of(call, which) else { return false };
        self.usage.release(asking.claim.subject(), asking.place);
        asking.leg.dismiss(&mut self.turn(now), &Refusal::status(487), bye);
        true
    }

    /// A call does not wait any more: its telephones stop to ring, and callbacks that wait for policy to have it hear that now,
    /// whatever policy will say.
    pub(super) fn turn_away(&mut self, now: Now, call: CallRef, id: CallId) {
        let reason = self.lot.fates().of(now.at, id).map(|fate| fate.reason.reason_header());
        self.stop_ringing(now, call, reason);
        while let Some(asking) = self.questions.close_of(call, |_| true) {
            self.usage.release(asking.claim.subject(), asking.place);
            self.refuse_late(now, asking.leg, asking.id);
        }
    }

    /// Policy was asked for longer than anybody waits for it.
    pub(super) fn handle_overdue(&mut self, now: Now) {
        while let Some(question) = self.questions.overdue(now.at) {
            self.handle_answer(now, question, Answer::TimedOut);
        }
    }
}

impl Asking {
    /// The call that it wants.
    pub(super) fn call(&self) -> CallRef {
        self.call
    }

    /// Whose it is.
    #[cfg(feature = "sim")]
    pub(super) fn subject(&self) -> SubjectHash {
        self.claim.subject()
    }

    /// Whether this is its INVITE.
    pub(super) fn is_invite(&self, transaction: ServerId) -> bool {
        self.leg.is_invite(transaction)
    }

    /// Whether this is its early dialog.
    pub(super) fn is_dialog(&self, dialog: DialogId) -> bool {
        self.leg.dialog() == dialog
    }
}

/// What a log may say of the token that a callback brought.
fn brought(invite: &Message<'_>) -> token::LogHash {
    let mut buffer = [0; limits::NAME_BYTES_MAX];
    match invite.other(TOKEN_HEADER) {
        Some(text) => token::log_hash(text),
        None => token::log_hash(called_user(invite, &mut buffer).unwrap_or_default().as_bytes()),
    }
}
