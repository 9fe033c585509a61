//! The session timer of one leg (RFC 4028): what it and we agreed, when the session has to be refreshed, and when it is over because
//! nobody did. A value that is told what was said and what time it is.
//! Not here: the requests that refresh (`refresh`), and what becomes of a session that is over (`bridged`).
//!
//! ```text
//!  2xx ──▶ half of the interval: we refresh, if that is ours to do ──▶ 2xx ──▶ …
//!      └─▶ the interval less a third of it, or less 32 s: nobody refreshed, BYE (§10)
//! ```

use super::leg::Refusal;
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::rng::Rng;
use crate::sip::wire::{Head, Header, Refresher, SessionExpires};
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;

/// What the operator wants.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The longest interval between two refreshes, and the one that is asked of peers that know session timers; 0: no peer is asked.
    pub expires_seconds: u32,
    /// The shortest that is granted.
    pub min_seconds: u32,
}

/// What a peer's INVITE or UPDATE says about it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Asked {
    expires: Option<SessionExpires>,
    /// Seconds below which somebody on the way would refuse (§5).
    min: u32,
    /// Whether the peer knows session timers itself; a proxy may have put the rest there (§8.1).
    is_supported: bool,
}

impl Asked {
    /// Reads it. 422 for an interval that is too short (§9).
    pub(super) fn of(request: &Head<'_>, terms: Terms) -> Result<Asked, Refusal> {
        let asked = Asked::read(request)?;
        let is_short = asked.expires.is_some_and(|expires| expires.seconds < terms.min_seconds);
        if asked.is_supported && is_short && !planted(Mutant::ShortIntervalGranted) {
            return Err(Refusal::status(422).with("Min-SE", terms.min_seconds.to_string()));
        }
        Ok(asked)
    }

    /// Reads it from an INVITE that [`Asked::of`] let pass.
    pub(super) fn of_kept(invite: Option<Head<'_>>) -> Asked {
        invite.and_then(|invite| Asked::read(&invite).ok()).unwrap_or_default()
    }

    fn read(request: &Head<'_>) -> Result<Asked, Refusal> {
        let malformed = |_| Refusal::status(400);
        let expires = request.session_expires().transpose().map_err(malformed)?;
        let min = request.number(Header::MinSe).transpose().map_err(malformed)?;
        let is_supported = request.lists(Header::Supported, TIMER) || request.lists(Header::Require, TIMER);
        Ok(Asked { expires, min: min.unwrap_or(0), is_supported })
    }
}

/// The option tag (§7.1).
const TIMER: &str = "timer";

/// The timer of a leg; it does not run where neither side wants it to.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct SessionTimer {
    running: Option<Running>,
    /// The shortest interval that is accepted on the way, as far as a 422 has told us (§7.4).
    min: u32,
    /// How many 422 told us so since the last 2xx.
    raises: u8,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    interval: u32,
    is_ours: bool,
    /// When we refresh next; not while the peer does that, or a refresh is under way.
    refresh_at: Option<Instant>,
    ends_at: Instant,
}

/// What a moment asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// The session is to be refreshed.
    Refresh,
    /// Nobody has refreshed it.
    Over,
}

/// Headers of a request or response that refreshes a session.
pub(super) struct Words {
    session_expires: Option<String>,
    min_se: Option<String>,
    requires: bool,
}

impl Words {
    /// As a message has them.
    pub(super) fn headers(&self) -> ArrayVec<(&str, &str), 3> {
        let requires = self.requires.then_some(("Require", TIMER));
        let expires = self.session_expires.as_deref().map(|value| ("Session-Expires", value));
        let min = self.min_se.as_deref().map(|value| ("Min-SE", value));
        [requires, expires, min].into_iter().flatten().collect()
    }
}

impl SessionTimer {
    /// We answer a refresh with a 2xx: what it says, and the timer runs from now on (§9).
    pub(super) fn grant(&mut self, now: Instant, asked: Asked, terms: Terms) -> Words {
        let granted = self.decide(asked, terms);
        self.run(now, granted.map(|(interval, refresher)| (interval, refresher == Refresher::Uas)));
        Words {
            session_expires: granted.map(written),
            min_se: None,
            // §9: so that the peer knows that it has to refresh.
            requires: granted.is_some_and(|(_, refresher)| refresher == Refresher::Uac),
        }
    }

    /// The interval, and who refreshes, in the roles of the request. §9, Table 2: a peer that does not know session timers cannot; one
    /// that leaves it open shall, because it knows best whether it is still there.
    fn decide(&self, asked: Asked, terms: Terms) -> Option<(u32, Refresher)> {
        let Asked { expires, min, is_supported } = asked;
        let longest = if terms.expires_seconds == 0 { u32::MAX } else { terms.expires_seconds };
        let least = min.max(self.min).max(terms.min_seconds);
        match expires {
            // Never more than was asked for, and never less than anybody on the way accepts.
            Some(SessionExpires { seconds, refresher }) => {
                let refresher = if is_supported { refresher.unwrap_or(Refresher::Uac) } else { Refresher::Uas };
                Some((longest.max(least).min(seconds).max(limits::SESSION_SECONDS_MIN), refresher))
            }
            None if is_supported && terms.expires_seconds > 0 => Some((longest.max(least), Refresher::Uac)),
            None => None,
        }
    }

    /// What our own INVITE or UPDATE says: leaving the interval out would end the timer (§7.4).
    pub(super) fn ask(&self) -> Words {
        let role = |running: Running| if running.is_ours { Refresher::Uac } else { Refresher::Uas };
        let asked = self.running.map(|running| (running.interval.max(self.min), role(running)));
        let min = self.running.map(|_| self.min).filter(|min| *min > limits::SESSION_SECONDS_MIN);
        Words { session_expires: asked.map(written), min_se: min.map(|min| min.to_string()), requires: false }
    }

    /// The peer answered our INVITE or UPDATE with a 2xx (§7.2): without an interval in it there is no timer any more.
    pub(super) fn take(&mut self, now: Instant, response: &Head<'_>) {
        let said = response.session_expires().and_then(Result::ok);
        // An interval below what the RFC allows would have us refresh for ever.
        let interval = |seconds: u32| seconds.max(limits::SESSION_SECONDS_MIN);
        self.run(now, said.map(|said| (interval(said.seconds), said.refresher != Some(Refresher::Uas))));
    }

    /// The peer refused with 422: whether it is worth while to ask again for as long as it wants (§7.4).
    pub(super) fn raise(&mut self, response: &Head<'_>) -> bool {
        let Some(Ok(min)) = response.number(Header::MinSe) else { return false };
        let asked = self.running.map_or(0, |running| running.interval.max(self.min));
        self.min = self.min.max(min);
        self.raises = self.raises.saturating_add(1);
        self.running.is_some() && min > asked && self.raises <= limits::SESSION_RAISES_MAX
    }

    fn run(&mut self, now: Instant, agreed: Option<(u32, bool)>) {
        self.raises = 0;
        self.running = agreed.map(|(interval, is_ours)| {
            let whole = Duration::from_secs(interval.into());
            // §10: a little before the end, so that the BYE is there in time.
            let early = (whole / 3).min(limits::SESSION_END_EARLY_MAX);
            let refresh_at = is_ours.then(|| now + whole / 2);
            let late = if planted(Mutant::SessionNeverOver) { limits::PARK_MAX } else { Duration::ZERO };
            Running { interval, is_ours, refresh_at, ends_at: now + (whole - early) + late }
        });
    }

    /// The refresh that was due is not under way after all, or did not succeed: again after `pause`.
    pub(super) fn retry(&mut self, now: Instant, pause: Duration) {
        if let Some(running) = self.running.as_mut().filter(|running| running.is_ours) {
            running.refresh_at = Some(now + pause);
        }
    }

    /// How long the session has left.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.running.filter(|running| running.ends_at > now).map_or(Duration::ZERO, |running| running.ends_at - now)
    }

    /// When [`SessionTimer::poll`] is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let running = self.running?;
        Some(running.refresh_at.map_or(running.ends_at, |at| at.min(running.ends_at)))
    }

    /// What is due. A refresh is due once.
    pub(super) fn poll(&mut self, now: Instant) -> Due {
        let Some(running) = &mut self.running else { return Due::Nothing };
        if now >= running.ends_at {
            self.running = None;
            return Due::Over;
        }
        match running.refresh_at.take_if(|at| *at <= now) {
            Some(_) if !planted(Mutant::SessionNotRefreshed) => Due::Refresh,
            Some(_) | None => Due::Nothing,
        }
    }
}

fn written((interval, refresher): (u32, Refresher)) -> String {
    format!("{interval};refresher={}", refresher.as_str())
}

/// How long to wait before an INVITE that crossed another goes again (RFC 3261 §14.1), in steps of 10 ms: whoever made the Call-ID waits
/// longer, so that the two do not meet again.
pub(super) fn glare_pause(is_call_id_ours: bool, rng: &mut Rng) -> Duration {
    let (least, steps) = if is_call_id_ours { (2_100, 191) } else { (0, 201) };
    Duration::from_millis(u64::from(least + 10 * rng.below(steps)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { expires_seconds: 1800, min_seconds: 120 };
    const START: Instant = Instant(1_000_000);

    fn head(fields: &str, test: impl FnOnce(&Head<'_>)) {
        let text = format!("INVITE sip:a SIP/2.0\r\n{fields}\r\n");
        let (head, _) = Head::of_kept(text.as_bytes()).unwrap();
        test(&head);
    }

    /// The Min-SE of a refusal.
    fn min_se(refusal: &Refusal) -> Option<u32> {
        refusal.write(|reply| {
            let found = reply.headers.iter().find(|(name, _)| *name == "Min-SE");
            found.and_then(|(_, value)| value.parse().ok())
        })
    }

    fn at(seconds: u64) -> Instant {
        START + Duration::from_secs(seconds)
    }

    type Granted = Result<(String, Option<u64>, Option<u64>), (u16, Option<u32>)>;

    /// What a request is answered with, and when the session is refreshed and over if nobody does anything.
    fn granted(fields: &str, terms: Terms) -> Granted {
        let mut result = Err((0, None));
        head(fields, |request| {
            result = Asked::of(request, terms).map_err(|refusal| (refusal.status, min_se(&refusal))).map(|asked| {
                let mut timer = SessionTimer::default();
                let words = timer.grant(START, asked, terms);
                let text: Vec<_> = words.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
                let seconds = |at: Instant| (at - START).as_secs();
                let running = timer.running;
                (
                    text.join(", "),
                    running.and_then(|running| running.refresh_at).map(seconds),
                    running.map(|running| seconds(running.ends_at)),
                )
            });
        });
        result
    }

    #[test]
    fn a_peer_gets_the_interval_and_the_role_that_the_rfc_gives_it() {
        let ours = |text: &str, refresh: u64, end: u64| Ok((text.to_string(), Some(refresh), Some(end)));
        let theirs = |text: &str, end: u64| {
            Ok((format!("Require: timer, Session-Expires: {text};refresher=uac"), None, Some(end)))
        };
        for (fields, expected) in [
            ("", Ok((String::new(), None, None))),
            ("Supported: 100rel\r\n", Ok((String::new(), None, None))),
            ("Supported: timer\r\n", theirs("1800", 1768)),
            ("k: TIMER\r\nMin-SE: 3600\r\n", theirs("3600", 3568)),
            ("Supported: timer\r\nSession-Expires: 600\r\n", theirs("600", 568)),
            ("Supported: timer\r\nSession-Expires: 7200\r\n", theirs("1800", 1768)),
            ("Supported: timer\r\nx: 7200;refresher=uac\r\nMin-SE: 2400\r\n", theirs("2400", 2368)),
            (
                "Require: timer\r\nSession-Expires: 600 ;refresher=UAS\r\n",
                ours("Session-Expires: 600;refresher=uas", 300, 568),
            ),
            // A proxy asked, for a peer that knows nothing of it: we refresh, as often as that proxy wants.
            ("Session-Expires: 600;refresher=uac\r\n", ours("Session-Expires: 600;refresher=uas", 300, 568)),
            ("Session-Expires: 90\r\n", ours("Session-Expires: 90;refresher=uas", 45, 60)),
            ("Session-Expires: 1\r\n", ours("Session-Expires: 90;refresher=uas", 45, 60)),
            ("Supported: timer\r\nSession-Expires: 119\r\n", Err((422, Some(120)))),
            ("Supported: timer\r\nSession-Expires: 120\r\n", theirs("120", 88)),
            ("Supported: timer\r\nSession-Expires: soon\r\n", Err((400, None))),
            ("Supported: timer\r\nMin-SE: 4294967296\r\n", Err((400, None))),
        ] {
            assert_eq!(granted(fields, TERMS), expected, "{fields}");
        }
    }

    #[test]
    fn an_operator_who_wants_no_timer_grants_what_others_ask_for() {
        let terms = Terms { expires_seconds: 0, ..TERMS };
        assert_eq!(granted("Supported: timer\r\n", terms), Ok((String::new(), None, None)));
        let expected = "Require: timer, Session-Expires: 90000;refresher=uac".to_string();
        let asked = "Supported: timer\r\nSession-Expires: 90000\r\n";
        assert_eq!(granted(asked, terms), Ok((expected, None, Some(89_968))));
    }

    fn running(is_ours: bool) -> SessionTimer {
        let mut timer = SessionTimer::default();
        timer.run(START, Some((1800, is_ours)));
        timer
    }

    #[test]
    fn a_refresh_is_due_once_and_the_end_comes_without_one() {
        let mut timer = running(true);
        assert_eq!(timer.wake_at(), Some(at(900)));
        assert_eq!(
            (timer.poll(at(899)), timer.poll(at(900)), timer.poll(at(901))),
            (Due::Nothing, Due::Refresh, Due::Nothing)
        );
        timer.retry(at(901), Duration::from_secs(2));
        assert_eq!((timer.poll(at(902)), timer.poll(at(903))), (Due::Nothing, Due::Refresh));
        assert_eq!((timer.wake_at(), timer.left(at(1700))), (Some(at(1768)), Duration::from_secs(68)));
        assert_eq!((timer.poll(at(1768)), timer.wake_at()), (Due::Over, None));
        let mut timer = running(false);
        timer.retry(at(1), Duration::ZERO);
        assert_eq!(
            (timer.wake_at(), timer.poll(at(1767)), timer.poll(at(1768))),
            (Some(at(1768)), Due::Nothing, Due::Over)
        );
        assert_eq!(SessionTimer::default().poll(at(99_999)), Due::Nothing);
    }

    #[test]
    fn our_request_asks_for_what_was_agreed_and_takes_what_is_answered() {
        for (is_ours, asked) in [(true, "1800;refresher=uac"), (false, "1800;refresher=uas")] {
            assert_eq!(running(is_ours).ask().headers().as_slice(), [("Session-Expires", asked)]);
        }
        assert!(SessionTimer::default().ask().headers().is_empty());
        for (fields, expected) in [
            ("Session-Expires: 600;refresher=uac\r\n", Some((600, true))),
            ("Session-Expires: 600;refresher=uas\r\n", Some((600, false))),
            ("Session-Expires: 600\r\n", Some((600, true))),
            ("Session-Expires: 1;refresher=uac\r\n", Some((90, true))),
            ("", None),
            ("Session-Expires: x\r\n", None),
        ] {
            let mut timer = running(true);
            head(fields, |response| timer.take(at(900), response));
            assert_eq!(timer.running.map(|running| (running.interval, running.is_ours)), expected, "{fields}");
        }
    }

    #[test]
    fn a_422_is_asked_again_for_longer_and_not_for_ever() {
        for (fields, again) in
            [("Min-SE: 3600\r\n", true), ("Min-SE: 1800\r\n", false), ("Min-SE: x\r\n", false), ("", false)]
        {
            let mut timer = running(true);
            head(fields, |response| assert_eq!(timer.raise(response), again, "{fields}"));
        }
        let mut timer = running(true);
        head("Min-SE: 3600\r\n", |response| assert_eq!((timer.raise(response), timer.raise(response)), (true, false)));
        let expected = [("Session-Expires", "3600;refresher=uac"), ("Min-SE", "3600")];
        assert_eq!(timer.ask().headers().as_slice(), expected);
        let again: Vec<bool> = (3601..3606)
            .map(|seconds| {
                let mut raised = false;
                head(&format!("Min-SE: {seconds}\r\n"), |response| raised = timer.raise(response));
                raised
            })
            .collect();
        assert_eq!(again, [true, false, false, false, false], "the third since the last 2xx is the last");
    }

    #[test]
    fn two_that_crossed_do_not_meet_again() {
        let mut rng = Rng::from_seed([4; 32]);
        for _ in 0..500 {
            let (ours, theirs) = (glare_pause(true, &mut rng).as_millis(), glare_pause(false, &mut rng).as_millis());
            assert!((2_100..=4_000).contains(&ours) && theirs <= 2_000 && ours % 10 == 0 && theirs % 10 == 0);
        }
    }
}
