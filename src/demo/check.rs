//! What a call was promised, held against what its two ends saw: one named [`Check`] a promise.
//! Not here: how it is printed (`report`). Nothing here is known beforehand but the plan of the call.

use super::audio::{DIGITS, Hearing, TONE_CALLER, TONE_CLIENT};
use super::client::ClientLeg;
use super::ladder::Lane;
use super::record::Records;
use super::talk::Ending;
use super::trunk::CallerLeg;
use super::{Plan, Story};
use tokio::time::{Duration, Instant};

/// Longest that one step of the set-up may take.
const STEP_WITHIN: Duration = Duration::from_secs(2);
/// How far the tone that is heard may be from the tone that was sent, Hz.
const TONE_TOLERANCE_HZ: u16 = 10;
/// Most packets that may be sent before the relay has heard the other end and lets them through: 100 ms.
const UNOPENED_MAX: u64 = 5;

/// One promise and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    /// The part of the table it stands in.
    pub(super) topic: Topic,
    /// The same for every call, so that many calls can be counted.
    pub(super) name: &'static str,
    /// Whether it was kept.
    pub(super) holds: bool,
    /// What was seen.
    pub(super) found: String,
}

/// The parts of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    /// Did both ends come to their end?
    Call,
    /// Set-up times.
    SetUp,
    /// Packets, tones, digits.
    Audio,
    /// BYE and the record.
    End,
}

/// One step of the set-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// From what to what.
    pub(super) name: &'static str,
    /// How long it took; `None` if its end was not seen.
    pub(super) took: Option<Duration>,
}

/// The steps of the set-up, the same for every call and in the same order.
pub(super) fn steps(caller: &CallerLeg, client: &ClientLeg) -> [Step; 6] {
    let step = |name, from: Instant, to: Option<Instant>| Step { name, took: to.map(|to| to - from) };
    [
        step("INVITE → 180 Ringing", caller.invited, Some(caller.ringing)),
        step("INVITE → notification", caller.invited, Some(client.notified)),
        step("callback INVITE → its 200 OK", client.called_back, Some(client.answered)),
        step("callback INVITE → caller's 200 OK", client.called_back, Some(caller.answered)),
        step("caller's 200 OK → first audio", caller.answered, caller.hearing.first),
        step("client's 200 OK → first audio", client.answered, client.hearing.first),
    ]
}

/// All checks of a call. One that broke off has only that.
pub(super) fn checks(story: &Story, records: &Records) -> Vec<Check> {
    let (caller, client) = match (&story.caller, &story.client) {
        (Ok(caller), Ok(client)) => (caller, client),
        (Err(_), _) | (_, Err(_)) => {
            let told: Vec<String> = story.failures().map(ToString::to_string).collect();
            return vec![went_through(false, told.join("; "))];
        }
    };
    let mut checks = vec![went_through(true, format!("{}, id {}", story.plan.from, client.call))];
    checks.extend(steps(caller, client).map(|step| Check {
        topic: Topic::SetUp,
        name: step.name,
        holds: step.took.is_some_and(|took| took <= STEP_WITHIN),
        found: step.took.map_or("never".to_owned(), |took| format!("{:>8.1} ms", took.as_secs_f64() * 1000.0)),
    }));
    checks.extend(audio(&caller.hearing, &client.hearing));
    checks.push(goodbye(&story.plan, caller.ending, client.ending));
    checks.push(record(&story.plan, &client.call, records));
    checks
}

fn went_through(holds: bool, found: String) -> Check {
    Check { topic: Topic::Call, name: "call", holds, found }
}

fn audio(caller: &Hearing, client: &Hearing) -> [Check; 6] {
    [
        packets("packets trunk → client", caller, client),
        packets("packets client → trunk", client, caller),
        tone("tone heard by the client", TONE_CALLER, client),
        tone("tone heard by the trunk", TONE_CLIENT, caller),
        digits("digits heard by the trunk", DIGITS, client, caller),
        digits("digits heard by the client", "", caller, client),
    ]
}

/// All sent, none lost on the way, and all but a first few let through.
fn packets(name: &'static str, from: &Hearing, to: &Hearing) -> Check {
    let unopened = from.sent.checked_sub(to.received + to.lost);
    let holds = to.received > 0 && to.lost == 0 && to.disturbed == 0 && unopened.is_some_and(|n| n <= UNOPENED_MAX);
    let mut found = format!("{:>4} sent {:>4} received {:>3} lost", from.sent, to.received, to.lost);
    match unopened {
        Some(0) => {}
        Some(some) => found += &format!(", {some} before the path was open"),
        None => found += ", more than were sent",
    }
    if to.disturbed > 0 {
        found += &format!(", {} doubled, out of order or strange", to.disturbed);
    }
    Check { topic: Topic::Audio, name, holds, found }
}

fn tone(name: &'static str, sent_hz: u16, heard: &Hearing) -> Check {
    let holds = heard.tone_hz.is_some_and(|hz| hz.abs_diff(sent_hz) <= TONE_TOLERANCE_HZ);
    let found = heard.tone_hz.map_or("no tone".to_owned(), |hz| format!("{hz} Hz"));
    Check { topic: Topic::Audio, name, holds, found: format!("{found} ({sent_hz} Hz sent)") }
}

/// Each key once, in order, under the number that the hearer gave telephone-event.
fn digits(name: &'static str, sent: &str, from: &Hearing, heard: &Hearing) -> Check {
    let found = match (heard.digits.as_str(), sent) {
        ("", "") => "none (none sent)".to_owned(),
        (digits, sent) => format!("{digits} as type {} ({sent} sent as type {})", heard.events.1, from.events.0),
    };
    Check { topic: Topic::Audio, name, holds: heard.digits == sent, found }
}

/// Whose turn it was hung up and had its answer, and the other was hung up on.
fn goodbye(plan: &Plan, caller: Ending, client: Ending) -> Check {
    let (first, second) = match plan.hangs_up {
        Lane::Trunk => (caller, client),
        Lane::Client => (client, caller),
    };
    let who = plan.hangs_up.as_str();
    let (holds, found) = match (first, second) {
        (Ending::HungUp(took), Ending::WasHungUpOn) => {
            (true, format!("by the {who}, 200 OK after {:.1} ms, passed on", took.as_secs_f64() * 1000.0))
        }
        (Ending::HungUp(_), Ending::HungUp(_)) => (false, "from both ends".to_owned()),
        (Ending::WasHungUpOn, _) => (false, format!("came to the {who}, whose turn it was to send it")),
    };
    Check { topic: Topic::End, name: "BYE", holds, found }
}

/// PRODUCT P4: exactly one record, and it is of this call.
fn record(plan: &Plan, call: &str, records: &Records) -> Check {
    let (holds, found) = match records.of(call) {
        [] => (false, "none within 5 s".to_owned()),
        [one] if one.to_string().contains(&plan.from) => (true, "exactly one".to_owned()),
        [_] => (false, "one, but without the caller's number".to_owned()),
        more => (false, format!("{} of them", more.len())),
    };
    Check { topic: Topic::End, name: "call detail record", holds, found }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Failure;
    use super::*;

    fn hearing(tone_hz: u16, digits: &str) -> Hearing {
        Hearing {
            sent: 100,
            received: 98,
            lost: 0,
            disturbed: 0,
            first: Some(Instant::now()),
            tone_hz: Some(tone_hz),
            digits: digits.to_owned(),
            events: (96, 101),
        }
    }

    /// A call that kept every promise but that of its record.
    pub(in super::super) fn good(index: u32) -> Story {
        let plan = Plan::new(index, "127.0.0.1:5060".parse().unwrap());
        let start = Instant::now();
        let (first, second) = (Ending::HungUp(Duration::from_millis(1)), Ending::WasHungUpOn);
        let (caller, client) = if plan.hangs_up == Lane::Trunk { (first, second) } else { (second, first) };
        Story {
            plan,
            caller: Ok(CallerLeg {
                invited: start,
                ringing: start,
                answered: start,
                hearing: hearing(TONE_CLIENT, DIGITS),
                ending: caller,
            }),
            client: Ok(ClientLeg {
                call: format!("call-{index}"),
                notified: start,
                called_back: start,
                answered: start,
                hearing: hearing(TONE_CALLER, ""),
                ending: client,
            }),
        }
    }

    /// The names of what did not hold.
    fn broken(story: &Story, records: &Records) -> Vec<&'static str> {
        checks(story, records).into_iter().filter(|check| !check.holds).map(|check| check.name).collect()
    }

    #[test]
    fn each_promise_can_be_broken_alone() {
        type Break = fn(&mut CallerLeg, &mut ClientLeg);
        let rows: [(&str, Break); 10] = [
            ("INVITE → 180 Ringing", |caller, _| caller.ringing += Duration::from_secs(3)),
            ("caller's 200 OK → first audio", |caller, _| caller.hearing.first = None),
            ("packets trunk → client", |_, client| client.hearing.lost = 1),
            ("packets trunk → client", |_, client| client.hearing.received = 94),
            ("packets trunk → client", |_, client| client.hearing.received = 101),
            ("packets client → trunk", |caller, _| caller.hearing.disturbed = 1),
            ("tone heard by the client", |_, client| client.hearing.tone_hz = Some(TONE_CALLER + 11)),
            ("tone heard by the trunk", |caller, _| caller.hearing.tone_hz = None),
            ("digits heard by the trunk", |caller, _| caller.hearing.digits = "42".to_owned()),
            ("BYE", |caller, _| caller.ending = Ending::WasHungUpOn),
        ];
        for (name, break_it) in rows {
            let mut story = good(0);
            assert_eq!(broken(&story, &Records::default()), ["call detail record"]);
            break_it(story.caller.as_mut().unwrap(), story.client.as_mut().unwrap());
            assert_eq!(broken(&story, &Records::default()), [name, "call detail record"]);
        }
    }

    #[test]
    fn a_call_has_one_record_and_it_names_the_caller() {
        let mine = r#"{"call":"call-0","from":"sip:+493023125000@127.0.0.1"}"#;
        for (text, holds, found) in [
            (mine.to_owned(), true, "exactly one"),
            (mine.replace("call-0", "call-1"), false, "none within 5 s"),
            (mine.replace("+49", "+48"), false, "one, but without the caller's number"),
            (format!("{mine}\n{mine}"), false, "2 of them"),
        ] {
            let checks = checks(&good(0), &Records::read(&text));
            let last = checks.last().unwrap();
            assert_eq!((last.name, last.holds, last.found.as_str()), ("call detail record", holds, found));
        }
    }

    #[test]
    fn a_call_that_broke_off_says_which_end_missed_what() {
        let mut story = good(0);
        story.caller = Err(Failure::new(Lane::Trunk, "no 180 Ringing within 2 s"));
        let checks = checks(&story, &Records::default());
        assert_eq!(checks, [went_through(false, "trunk: no 180 Ringing within 2 s".to_owned())]);
    }
}
