//! Scenarios: plans that are bent so that one race is run in every call, for whoever looks for that one.
//! Not here: drawing a plan (`draw`).

use super::chance::Chance;
use super::plan::*;
use super::text::{Offer, Way};
use std::fmt;
use std::str::FromStr;

/// What every call of a plan is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Scenario {
    /// Everything, as it is drawn.
    #[default]
    Mixed,
    /// No faults, and nobody breaks a rule: whoever waits long enough is answered (RELIABILITY L3).
    Calm,
    /// The caller's CANCEL crosses the callback.
    CancelVsCallback,
    /// The caller's CANCEL crosses our 200.
    CancelVs200,
    /// Two clients call back at one moment.
    TwoCallbacks,
    /// The caller hangs up while policy is asked.
    PolicyPending,
    /// One side's BYE crosses the other's re-INVITE.
    ByeVsReinvite,
    /// Both sides hang up at one moment.
    BothBye,
    /// Both sides change the session at one moment.
    Glare,
    /// ACKs are lost.
    LostAck,
    /// INVITEs come by two ways.
    Forked,
    /// Nobody calls back.
    Nobody,
    /// Sides vanish.
    Vanish,
    /// Three times as many calls as there is room for (RELIABILITY L8).
    Overload,
    /// A drain, a stop, an end.
    Drain,
}

impl Scenario {
    /// Each with its name on the command line.
    pub const ALL: [(&'static str, Scenario); 15] = [
        ("mixed", Scenario::Mixed),
        ("calm", Scenario::Calm),
        ("cancel-vs-callback", Scenario::CancelVsCallback),
        ("cancel-vs-200", Scenario::CancelVs200),
        ("two-callbacks", Scenario::TwoCallbacks),
        ("policy-pending", Scenario::PolicyPending),
        ("bye-vs-reinvite", Scenario::ByeVsReinvite),
        ("both-bye", Scenario::BothBye),
        ("glare", Scenario::Glare),
        ("lost-ack", Scenario::LostAck),
        ("forked", Scenario::Forked),
        ("nobody", Scenario::Nobody),
        ("vanish", Scenario::Vanish),
        ("overload", Scenario::Overload),
        ("drain", Scenario::Drain),
    ];

    /// Bends a plan.
    pub(super) fn bend(self, plan: &mut Plan, chance: &mut Chance<'_>) {
        match self {
            Scenario::Mixed => {}
            Scenario::Calm => {
                plan.faults = Faults::default();
                plan.words.clear();
                let (many, terms) = (100_000, &mut plan.terms);
                (terms.engine, terms.concurrent) = (EngineKind::Grants, 50);
                (terms.cap_total, terms.cap_name, terms.cap_source, terms.cap_trunk) = (many, many, many, many);
            }
            Scenario::Overload => overload(plan),
            Scenario::PolicyPending => {
                plan.terms.engine = EngineKind::Asks;
                plan.faults = Faults(plan.faults.0 | Faults::SLOW_POLICY.0);
                self.bend_calls(plan, chance);
            }
            Scenario::Drain => {
                let at = chance.between(5_000, 40_000);
                let stop = at + chance.below(10_000);
                plan.words = vec![(at, Word::Drain), (stop, Word::Stop), (stop + 3_000, Word::Abandon)];
            }
            Scenario::CancelVsCallback | Scenario::CancelVs200 | Scenario::TwoCallbacks | Scenario::ByeVsReinvite => {
                self.bend_calls(plan, chance);
            }
            Scenario::BothBye | Scenario::Glare | Scenario::LostAck | Scenario::Forked => self.bend_calls(plan, chance),
            Scenario::Nobody | Scenario::Vanish => self.bend_calls(plan, chance),
        }
    }

    fn bend_calls(self, plan: &mut Plan, chance: &mut Chance<'_>) {
        for call in &mut plan.calls {
            let moment = chance.between(50, 1_500);
            call.caller.begin(None);
            for client in &mut call.clients {
                (client.token, client.jwt, client.node) = (TokenKind::Good, JwtKind::Good, call.node);
                client.conduct.begin(Some(moment + chance.below(40)));
            }
            let near = moment + chance.below(120);
            let ends = moment + 600;
            match self {
                Scenario::CancelVsCallback | Scenario::PolicyPending => {
                    call.caller.add(When::Begun, near + 20, What::Cancel);
                }
                Scenario::CancelVs200 => call.caller.add(When::Begun, near + 60, What::Cancel),
                Scenario::ByeVsReinvite => {
                    call.caller.add(When::Answered, moment, What::Bye);
                    call.each_client(|client| {
                        client.add(When::Answered, near - 40.min(near), What::Reinvite(Change::To(Way::SendOnly)));
                    });
                }
                Scenario::BothBye => {
                    call.caller.add(When::Answered, moment, What::Bye);
                    call.each_client(|client| client.add(When::Answered, near, What::Bye));
                }
                Scenario::Glare => {
                    let change = What::Reinvite(Change::To(Way::SendOnly));
                    call.caller.add(When::Answered, moment, change);
                    call.each_client(|client| client.add(When::Answered, near, change));
                    call.caller.add(When::Answered, ends + 2_000, What::Bye);
                }
                Scenario::LostAck => {
                    call.caller.ack = chance.pick(&[Ack::Never, Ack::Late(3_000), Ack::Prompt]);
                    call.each_client(|client| client.ack = Ack::Never);
                }
                Scenario::Forked => call.caller.add(When::Begun, chance.below(100), What::Forked),
                Scenario::Nobody => call.clients.iter_mut().for_each(|client| client.conduct.deeds.clear()),
                Scenario::Vanish => call.caller.add(When::Answered, moment, What::Vanish),
                Scenario::TwoCallbacks | Scenario::Mixed | Scenario::Calm | Scenario::Overload | Scenario::Drain => {}
            }
        }
    }
}

impl CallPlan {
    fn each_client(&mut self, deed: impl Fn(&mut Conduct)) {
        self.clients.iter_mut().for_each(|client| deed(&mut client.conduct));
    }
}

impl Conduct {
    /// Forgets what was drawn: an INVITE, and nothing else but what is added.
    fn begin(&mut self, called_back: Option<u32>) {
        self.offer = Offer::Usual;
        self.ack = Ack::Prompt;
        self.manners = Manners::PLAIN;
        self.deeds = vec![Some(Deed { when: When::Begun, after_ms: called_back.unwrap_or(0), what: What::Invite })];
    }

    fn add(&mut self, when: When, after_ms: u32, what: What) {
        self.deeds.push(Some(Deed { when, after_ms, what }));
    }
}

/// Calls that wait for their whole time, evenly, three times as many as there is room for.
fn overload(plan: &mut Plan) {
    let (room, park_ms, over_ms) = (10, 4_000, 40_000);
    plan.faults = Faults::CAPS;
    plan.words.clear();
    plan.terms.nodes = 1;
    (plan.terms.park_ms, plan.terms.cap_total) = (park_ms, room);
    (plan.terms.cap_name, plan.terms.cap_source, plan.terms.cap_trunk) = (room, room, room);
    let capacity = room * over_ms / park_ms;
    let count = 3 * capacity;
    let pattern = plan.calls[0].clone();
    plan.calls = (0..count).map(|number| CallPlan { at_ms: number * over_ms / count, ..pattern.clone() }).collect();
    for call in &mut plan.calls {
        (call.node, call.route) = (0, Called::Foo);
        call.caller.begin(None);
        (call.caller.is_stranger, call.caller.is_absent) = (false, false);
        call.clients.clear();
    }
    plan.least_calls = capacity * 8 / 10;
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Scenario::ALL.iter().find(|(_, scenario)| scenario == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.iter().find(|(name, _)| *name == text).map(|(_, scenario)| *scenario);
        found.ok_or_else(|| format!("no scenario; there are {}", Scenario::ALL.map(|(name, _)| name).join(", ")))
    }
}
