//! Draws a plan: from a seed, the swarm of its faults and what everybody does. Deeds of one call often fall on the same moment, because
//! races are what is looked for.
//! Not here: what a plan means (`plan`), and the scenarios that bend it (`scenario`).

use super::chance::Chance;
use super::office::{SHARED_NAMES, TELEPHONES, called_name};
use super::plan::*;
use super::text::{Offer, Way};

/// How many calls a plan has at the most.
const CALLS: (u32, u32) = (60, 140);
/// Over which time they begin, milliseconds.
const BEGIN_MS: u32 = 40_000;
/// How long before its call a telephone registers, milliseconds.
pub(super) const BEFORE_MS: u32 = 1_500;
/// How far apart deeds of one moment are, milliseconds: about a round trip.
const MOMENT_MS: u32 = 60;

/// The plan of a seed.
pub(super) fn draw(seed: u64, chance: &mut Chance<'_>) -> Plan {
    let faults = draw_faults(chance);
    let terms = draw_terms(faults, chance);
    let calls = (0..chance.between(CALLS.0, CALLS.1)).map(|at| draw_call(at, faults, &terms, chance)).collect();
    Plan { seed, faults, terms, calls, words: draw_words(faults, chance), least_calls: 0 }
}

/// A small plan, for whoever has few bytes to draw it from.
pub(super) fn draw_few(chance: &mut Chance<'_>) -> Plan {
    let seed = chance.below(u32::MAX).into();
    let faults = draw_faults(chance);
    let terms = draw_terms(faults, chance);
    let calls = (0..chance.between(1, 4)).map(|at| draw_call(at, faults, &terms, chance)).collect();
    Plan { seed, faults, terms, calls, words: draw_words(faults, chance), least_calls: 0 }
}

/// Every eighth plan has no faults at all; every other has about a third of them.
fn draw_faults(chance: &mut Chance<'_>) -> Faults {
    if chance.one_in(8) {
        return Faults::default();
    }
    let all = Faults::ALL.iter().filter(|_| chance.one_in(3));
    let drawn = all.fold(Faults::default(), |sum, (_, fault)| Faults(sum.0 | fault.0));
    // Rare, because it leaves little else to be seen.
    if chance.one_in(4) { drawn } else { drawn.without(Faults::LONG_PARTITION) }
}

fn draw_terms(faults: Faults, chance: &mut Chance<'_>) -> Terms {
    let many = 100_000;
    let mut cap = |least, most| if faults.has(Faults::CAPS) { chance.between(least, most) } else { many };
    let (cap_total, cap_name, cap_source, cap_trunk) = (cap(3, 12), cap(2, 8), cap(2, 8), cap(5, 30));
    let asks = faults.has(Faults::SLOW_POLICY) || faults.has(Faults::BROKEN_POLICY);
    Terms {
        nodes: chance.pick(&[1, 1, 1, 2, 2, 3]),
        park_ms: chance.between(3_000, 12_000),
        repeat_ms: chance.between(1_000, 5_000),
        ring: chance.pick(&[180, 180, 183]),
        silence_ms: chance.pick(&[8_000, 8_000, 60_000, 100_000]),
        fallback: chance.pick(&[480, 480, 404, 600]),
        cap_total,
        cap_name,
        cap_source,
        cap_trunk,
        engine: if asks {
            chance.pick(&[EngineKind::Asks, EngineKind::Asks, EngineKind::Grants])
        } else {
            chance.pick(&[EngineKind::Grants, EngineKind::Grants, EngineKind::Sure])
        },
        concurrent: chance.pick(&[1, 2, 50, 50]),
    }
}

fn draw_words(faults: Faults, chance: &mut Chance<'_>) -> Vec<(u32, Word)> {
    let mut words = Vec::new();
    if faults.has(Faults::ENDING) {
        let drain = chance.between(5_000, 45_000);
        let stop = drain + chance.between(0, 15_000);
        words.extend([(drain, Word::Drain), (stop, Word::Stop), (stop + 3_000, Word::Abandon)]);
        if chance.one_in(3) {
            words.remove(0);
        }
    }
    if faults.has(Faults::CAPS) {
        let behind = chance.below(20_000);
        words.extend([(behind, Word::Behind(true)), (behind + chance.between(100, 4_000), Word::Behind(false))]);
    }
    if faults.has(Faults::ROTATION) {
        words.extend((0..chance.between(1, 4)).map(|_| (chance.below(40_000), Word::Rotate)));
    }
    if faults.has(Faults::CLOCK) {
        let jump = chance.pick(&[-3600, -20, 20, 3600]);
        words.push((chance.below(30_000), Word::Jump(jump)));
    }
    words
}

fn draw_call(at: u32, faults: Faults, terms: &Terms, chance: &mut Chance<'_>) -> CallPlan {
    let route = chance.weighted(&[(60, Called::Foo), (20, Called::FooWeb), (17, Called::Bar), (3, Called::Nobody)]);
    let route = if chance.one_in(6) { draw_own(at, chance) } else { route };
    let node = u8::try_from(chance.below(u32::from(terms.nodes))).unwrap_or(0);
    // Shared by the call's agents: what happens at these moments crosses on the wire.
    let moments = Moments {
        called_back: chance.pick(&[10, 60, 300, 1_500, terms.park_ms.saturating_sub(30)]),
        changed: chance.between(20, 900),
        ended: chance.between(50, 4_000),
    };
    let mut caller = draw_caller(faults, &moments, chance);
    if matches!(route, Called::Own { .. }) && caller.manners.identity == Identity::Private {
        // A telephone must be able to tell whose call it is.
        caller.manners.identity = Identity::Plain;
    }
    let count = chance.weighted(&[(8, 0), (55, 1), (27, 2), (10, 3)]);
    let mut clients: Vec<ClientPlan> =
        (0..count).map(|_| draw_client(faults, terms, node, route, &moments, chance)).collect();
    if matches!(route, Called::Own { .. }) {
        clients.iter_mut().for_each(|client| draw_telephone(faults, node, route, &moments, client, chance));
    }
    let at_ms = match route {
        // Calls of one number come together.
        Called::Own { number, .. } => u32::from(number) * BEGIN_MS / CALLS.1 + chance.below(1_000),
        Called::Foo | Called::FooWeb | Called::Bar | Called::Nobody => chance.below(BEGIN_MS),
    };
    CallPlan { at_ms, node, route, caller, clients }
}

/// A number that leads to telephones. Some are called several times.
fn draw_own(at: u32, chance: &mut Chance<'_>) -> Called {
    let number = at - at % chance.pick(&[1, 1, 4]);
    Called::Own { number: u8::try_from(number).unwrap_or(0), rings: !chance.one_in(4) }
}

/// Makes a telephone of a client, usually.
fn draw_telephone(
    faults: Faults,
    node: u8,
    route: Called,
    moments: &Moments,
    client: &mut ClientPlan,
    chance: &mut Chance<'_>,
) {
    if chance.one_in(5) {
        return;
    }
    client.hand = Some(Hand {
        registers_ms: if chance.one_in(6) { chance.below(8_000) } else { 0 },
        lasts: chance.pick(&[60, 60, 90, 200]),
        rings_ms: chance.pick(&[None, Some(0), Some(5), Some(40), Some(400)]),
        pick: chance.weighted(&[
            (60, Pick::Answers),
            (8, Pick::AnswersTwice(0)),
            (8, Pick::AnswersTwice(200)),
            (8, Pick::HangsUp(0)),
            (6, Pick::HangsUp(30)),
            (8, Pick::Refuses(486)),
            (6, Pick::Refuses(603)),
            (3, Pick::Refuses(302)),
            (3, Pick::Refuses(401)),
            (12, Pick::Nothing),
        ]),
        after_ms: moments.called_back + chance.below(MOMENT_MS),
        is_stubborn: chance.one_in(8),
        told: chance.weighted(&[(80, 200), (8, 202), (6, 405), (6, 0)]),
        is_connected: chance.one_in(3),
        breaks_ms: None,
    });
    if let Some(hand) = client.hand.as_mut().filter(|hand| hand.is_connected && faults.has(Faults::BREAKS)) {
        let near = hand.after_ms.saturating_sub(20) + chance.below(MOMENT_MS);
        let any = chance.below(20_000);
        let after = chance.pick(&[near, near, near + moments.ended, any]);
        hand.breaks_ms = Some((BEFORE_MS + after, chance.pick(&[5, 500, 8_000])));
    }
    (client.node, client.token) = (node, TokenKind::Good);
    client.name = called_name(route);
    client.subject = TELEPHONES + u8::try_from(chance.below(3)).unwrap_or(0);
    client.jwt = chance.weighted(&[(80, JwtKind::Good), (18, JwtKind::Rings), (2, JwtKind::Ungranted)]);
    if client.is_rung(route) {
        // It does nothing before it is answered.
        let offer = client.conduct.offer;
        client.conduct = draw_conduct(faults, moments, offer, Vec::new(), chance);
    }
}

/// The moments of a call at which several agents act.
struct Moments {
    called_back: u32,
    changed: u32,
    ended: u32,
}

fn deed(when: When, after_ms: u32, what: What) -> Option<Deed> {
    Some(Deed { when, after_ms, what })
}

fn draw_caller(faults: Faults, moments: &Moments, chance: &mut Chance<'_>) -> Conduct {
    let mut deeds = vec![deed(When::Begun, 0, What::Invite)];
    match chance.below(10) {
        0 => deeds.push(deed(When::Begun, chance.below(200), What::Cancel)),
        1 => deeds.push(deed(When::Begun, moments.called_back + chance.below(2 * MOMENT_MS), What::Cancel)),
        2 => deeds.push(deed(When::Ringing, moments.called_back + chance.below(MOMENT_MS), What::Cancel)),
        3 => deeds.push(deed(When::Ringing, chance.below(8_000), What::Cancel)),
        4 if chance.one_in(3) => deeds.push(deed(When::Ringing, chance.below(2_000), What::Bye)),
        _ => {}
    }
    if chance.one_in(9) {
        deeds.push(deed(When::Begun, chance.below(300), What::Forked));
    }
    let offer = chance.weighted(&[
        (75, Offer::Usual),
        (8, Offer::Other),
        (5, Offer::Video),
        (9, Offer::Nothing),
        (3, Offer::Alien),
    ]);
    let mut conduct = draw_conduct(faults, moments, offer, deeds, chance);
    conduct.is_stranger = chance.one_in(30);
    conduct
}

fn draw_client(
    faults: Faults,
    terms: &Terms,
    node: u8,
    route: Called,
    moments: &Moments,
    chance: &mut Chance<'_>,
) -> ClientPlan {
    let delay = moments.called_back + chance.below(MOMENT_MS);
    let mut deeds = Vec::new();
    match chance.below(20) {
        0 => deeds.push(deed(When::Begun, delay, What::Decline)),
        1 => {}
        2 => deeds.push(deed(When::Begun, chance.between(terms.park_ms, 2 * terms.park_ms), What::Invite)),
        _ => deeds.push(deed(When::Begun, delay, What::Invite)),
    }
    if chance.one_in(3) {
        deeds.push(deed(When::Begun, chance.below(delay + 1), What::Ring));
    }
    match chance.below(14) {
        0 => deeds.push(deed(When::Begun, delay + chance.below(2 * MOMENT_MS), What::Cancel)),
        1 => deeds.push(deed(When::Ringing, chance.below(50), What::Bye)),
        2 => deeds.push(deed(When::Begun, delay + chance.below(300), What::Forked)),
        // A second call back with the same token, whatever became of the first.
        3 | 4 => deeds.push(deed(When::Over, chance.below(2_000), What::Invite)),
        _ => {}
    }
    let offer = chance.weighted(&[
        (62, Offer::Usual),
        (20, Offer::Other),
        (10, Offer::Nothing),
        (6, Offer::Alien),
        (2, Offer::Garbage),
    ]);
    let conduct = draw_conduct(faults, moments, offer, deeds, chance);
    let reached: &[u8] = match route {
        Called::Foo => &[0, 1, 2],
        Called::FooWeb => &[1, 3],
        Called::Bar | Called::Nobody => &[5, 6],
        Called::Own { .. } => &[called_name(route)],
    };
    let anybody = u8::try_from(chance.below(u32::try_from(SHARED_NAMES).unwrap_or(1))).unwrap_or(0);
    let elsewhere = u8::try_from(chance.below(u32::from(terms.nodes))).unwrap_or(0);
    ClientPlan {
        name: if chance.one_in(20) { anybody } else { chance.pick(reached) },
        subject: u8::try_from(chance.below(TELEPHONES.into())).unwrap_or(0),
        listens_ms: if chance.one_in(8) { (chance.below(4_000), chance.between(4_000, 90_000)) } else { (0, 90_000) },
        node: if chance.one_in(12) { elsewhere } else { node },
        token: chance.weighted(&[
            (80, TokenKind::Good),
            (8, TokenKind::Dial),
            (2, TokenKind::Stolen),
            (1, TokenKind::OtherName),
            (2, TokenKind::Expired),
            (1, TokenKind::Foreign),
            (2, TokenKind::OtherGeneration),
            (1, TokenKind::Garbage),
            (1, TokenKind::Twice),
            (1, TokenKind::Changed),
            (1, TokenKind::Missing),
        ]),
        jwt: chance.weighted(&[
            (92, JwtKind::Good),
            (2, JwtKind::Expired),
            (2, JwtKind::Forged),
            (2, JwtKind::Ungranted),
            (2, JwtKind::Missing),
        ]),
        hand: None,
        conduct,
    }
}

/// What callers and clients have in common.
fn draw_conduct(
    faults: Faults,
    moments: &Moments,
    offer: Offer,
    mut deeds: Vec<Option<Deed>>,
    chance: &mut Chance<'_>,
) -> Conduct {
    draw_talk(faults, moments, &mut deeds, chance);
    if chance.one_in(5) {
        let change = chance.weighted(&[
            (5, Change::To(Way::SendOnly)),
            (2, Change::To(Way::Inactive)),
            (3, Change::To(Way::Both)),
            (2, Change::Move),
            (3, Change::Empty),
            (1, Change::Repeated),
            (1, Change::Garbage),
            (1, Change::Alien),
        ]);
        deeds.push(deed(When::Answered, moments.changed + chance.below(MOMENT_MS), What::Reinvite(change)));
        if chance.one_in(2) {
            let later = moments.changed + chance.below(1_500);
            deeds.push(deed(When::Answered, later, What::Reinvite(Change::To(Way::Both))));
        }
    }
    if chance.one_in(6) {
        let way = chance.pick(&[None, Some(Way::SendOnly), Some(Way::Both), Some(Way::Inactive)]);
        deeds.push(deed(When::Answered, moments.changed + chance.below(MOMENT_MS), What::Update(way)));
    }
    if chance.one_in(8) {
        let near = chance.pick(&[moments.changed, moments.ended.saturating_sub(20)]);
        deeds.push(deed(When::Answered, near + chance.below(MOMENT_MS), What::Info));
    }
    let manners = draw_manners(offer, chance);
    if faults.has(Faults::RUDENESS) && chance.one_in(3) {
        deeds.push(draw_rude(chance));
    }
    if chance.one_in(10) {
        deeds.push(deed(chance.pick(&[When::Begun, When::Ringing, When::Answered]), chance.below(2_000), What::Again));
    }
    Conduct {
        is_absent: false,
        is_stranger: false,
        offer,
        ack: chance.weighted(&[
            (88, Ack::Prompt),
            (5, Ack::Late(chance_late(moments))),
            (4, Ack::Never),
            (3, Ack::Unusable),
        ]),
        reinvited: chance.weighted(&[
            (70, Reinvited::Accepted),
            (10, Reinvited::AcceptedLate(moments.ended)),
            (5, Reinvited::Refused(488)),
            (2, Reinvited::Refused(481)),
            (2, Reinvited::Refused(491)),
            (2, Reinvited::Refused(401)),
            (4, Reinvited::Unusable),
            (5, Reinvited::Never),
        ]),
        answers_bye: !chance.one_in(25),
        manners,
        deeds,
    }
}

fn draw_manners(offer: Offer, chance: &mut Chance<'_>) -> Manners {
    let prack = chance.weighted(&[(80, Prack::Unable), (14, Prack::Prompt), (3, Prack::Never), (3, Prack::Wrong)]);
    Manners {
        allows: chance.one_in(2),
        session: chance.weighted(&[
            (80, Session::None),
            (2, Session::Short),
            (10, Session::Theirs),
            (8, Session::Forgotten),
        ]),
        // Without an offer nobody rings reliably.
        prack: if offer == Offer::Nothing { Prack::Unable } else { prack },
        identity: chance.weighted(&[(80, Identity::Plain), (10, Identity::Asserted), (10, Identity::Private)]),
        has_uuid: chance.one_in(2),
    }
}

fn chance_late(moments: &Moments) -> u32 {
    500 + moments.changed
}

/// Audio, and the end of it.
fn draw_talk(faults: Faults, moments: &Moments, deeds: &mut Vec<Option<Deed>>, chance: &mut Chance<'_>) {
    if faults.has(Faults::MEDIA) && chance.one_in(3) {
        deeds.push(deed(
            When::Answered,
            chance.below(200),
            What::Talk(u8::try_from(chance.between(2, 8)).unwrap_or(2)),
        ));
    }
    if faults.has(Faults::MEDIA) && chance.one_in(3) {
        deeds.push(deed(When::Answered, moments.changed + chance.below(400), What::Talk(4)));
    }
    match chance.below(12) {
        0 => deeds.push(deed(When::Answered, chance.below(3_000), What::Vanish)),
        1 => deeds.push(deed(When::Ringing, chance.below(1_000), What::Vanish)),
        2 => deeds.push(deed(When::Answered, 0, What::Bye)),
        // With a re-INVITE that is under way.
        3 => deeds.push(deed(When::Answered, moments.changed + chance.below(MOMENT_MS), What::Bye)),
        4..=9 => deeds.push(deed(When::Answered, moments.ended + chance.below(MOMENT_MS), What::Bye)),
        _ => {}
    }
}

fn draw_rude(chance: &mut Chance<'_>) -> Option<Deed> {
    let rude = chance.pick(&[
        Rude::WrongTag,
        Rude::WrongPeer,
        Rude::OldSequence,
        Rude::StrayAck,
        Rude::StrayCancel,
        Rude::StrayResponse,
        Rude::Short,
        Rude::Noise,
        Rude::Early,
    ]);
    let during = [When::Begun, When::Ringing, When::Answered];
    let when = if rude == Rude::StrayCancel { When::Over } else { chance.pick(&during) };
    let what =
        if chance.one_in(6) { chance.pick(&[What::Options, What::Info, What::Message]) } else { What::Rude(rude) };
    deed(when, chance.below(1_500), what)
}
