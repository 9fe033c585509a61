//! The stage: one switch, a clock that stands still until it is told, and everybody who talks to the switch. A step goes in, what the
//! switch does about it is kept until a step looks at it, and nothing may be left unlooked at.

use super::actor::{Actor, Extras, SWITCH};
use super::expect::{describe, expect_message, expect_text};
use super::law::Law;
use super::office::{NAME, NUMBER, Plan, name, token};
use super::script::{Line, Step, Words};
use super::wire::Text;
use parkway::call::{ClientMessage, ClientMessageKind, Digit, Incoming, News, Notice};
use parkway::id::{FlowId, QuestionId};
use parkway::media::{self, Command};
use parkway::policy::Answer;
use parkway::sip::{Path, Transport};
use parkway::switch::{Effect, FromClient, Input, Switch};
use parkway::time::{Duration, Instant, Now, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Longer than any timer of a flow's calls: park deadline, 64*T1, the end of a call.
const LONG: Duration = Duration::from_secs(600);

pub(crate) struct Stage {
    switch: Switch,
    plan: Plan,
    now: Now,
    actors: BTreeMap<String, Actor>,
    /// What others than user agents heard, as text: `notify`, `media`, `policy`, `record`.
    heard: BTreeMap<&'static str, VecDeque<String>>,
    parked: Vec<Incoming>,
    flows: Vec<FlowId>,
    /// Keys of ours that the relay was told.
    own_keys: Vec<parkway::sdp::Master>,
    questions: Vec<Option<QuestionId>>,
    law: Law,
    /// What happened so far, for people.
    pub(crate) ladder: Vec<String>,
}

impl Stage {
    pub(crate) fn new(plan: Plan) -> Stage {
        Stage {
            switch: plan.switch(),
            plan,
            now: Now { at: Instant(1_000_000_000), wall: Wall(1_795_000_000_000) },
            actors: BTreeMap::new(),
            heard: BTreeMap::from(["notify", "media", "policy", "record"].map(|who| (who, VecDeque::new()))),
            parked: Vec::new(),
            flows: Vec::new(),
            own_keys: Vec::new(),
            questions: Vec::new(),
            law: Law::default(),
            ladder: Vec::new(),
        }
    }

    /// Carries out one line.
    pub(crate) fn step(&mut self, line: &Line) -> Result<(), String> {
        match &line.step {
            Step::Given(_) => Err("`given` stands before everything else".into()),
            Step::Time(by) => {
                self.nothing_left()?;
                self.ladder.push(format!("{:>12} time +{by:?}", ""));
                self.pass(*by)
            }
            Step::Clock { forward, by } => {
                self.nothing_left()?;
                self.note(&format!("clock {}{by:?}", if *forward { '+' } else { '-' }));
                let wall = self.now.wall;
                let millis = u64::try_from(by.as_millis()).map_err(|_| "too far")?;
                self.now.wall = if *forward { wall + *by } else { Wall(wall.0.saturating_sub(millis)) };
                Ok(())
            }
            Step::Tell { who, words } => {
                self.nothing_left()?;
                self.tell(who, words)?;
                words.finish()
            }
            Step::Hear { who, words } => {
                self.hear(who, words)?;
                words.finish()
            }
        }
    }

    /// The flow is over: whatever still runs runs out without a word, and nothing is left of anything.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.nothing_left()?;
        self.pass(LONG)?;
        self.nothing_left()?;
        self.law.settled()?;
        if self.switch.poll_timeout().is_some() {
            return Err("a timer is left over".into());
        }
        match self.switch.is_idle() {
            true => Ok(()),
            false => Err(format!(
                "something is left over: {:?} {:?}",
                self.switch.census().collect::<Vec<_>>(),
                self.switch.endpoint().counts()
            )),
        }
    }

    fn nothing_left(&self) -> Result<(), String> {
        let messages =
            self.actors.values().filter_map(|actor| Some((actor.name.as_str(), actor.inbox.front()?.start.clone())));
        let others = self.heard.iter().filter_map(|(who, heard)| Some((*who, heard.front()?.clone())));
        match messages.chain(others).next() {
            Some((who, what)) => Err(format!("{who} heard something that the flow does not mention: {what}")),
            None => Ok(()),
        }
    }

    fn tell(&mut self, who: &str, words: &Words) -> Result<(), String> {
        match who {
            "media" => self.tell_media(words),
            "policy" => self.tell_policy(words),
            "channel" => self.tell_channel(words),
            "operator" => {
                let verb = words.verb();
                let input = match verb {
                    "drain" => Input::Drain,
                    "behind" => Input::Behind(true),
                    "caught-up" => Input::Behind(false),
                    "stop" => Input::Stop,
                    "abandon" => Input::Abandon,
                    _ => return Err(format!("an operator does not `{verb}`")),
                };
                self.input(&format!("operator -> {verb}"), input)
            }
            _ => self.tell_message(who, words),
        }
    }

    fn tell_message(&mut self, who: &str, words: &Words) -> Result<(), String> {
        self.enter(who)?;
        let late = words.has("late");
        let is_idle = self.actors.get(who).is_some_and(Actor::is_idle);
        let begins = words.verb() == "REGISTER" || words.verb() == "INVITE" && !late && is_idle;
        let extras = if begins { Some(self.extras(who, words)?) } else { None };
        let quiet = matches!(words.verb(), "again" | "forked");
        let actor = self.actors.get_mut(who).ok_or("nobody")?;
        let bytes = actor.tell(words, extras)?;
        let address = actor.address;
        let others_before = self.others();
        self.datagram(who, address, &bytes)?;
        if quiet && self.others() != others_before {
            return Err("a repeated request did something".into());
        }
        Ok(())
    }

    /// How much was heard by others than user agents.
    fn others(&self) -> usize {
        self.heard.values().map(VecDeque::len).sum()
    }

    fn datagram(&mut self, who: &str, peer: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let start = Text::read(bytes).map(|text| text.start).unwrap_or_default();
        let path = Path { transport: Transport::Udp, local: SWITCH.parse().expect("an address"), peer };
        self.input(&format!("{who} -> {start}"), Input::Datagram { path, bytes })
    }

    /// Somebody enters the stage when first named: `trunk…` from the trunk's network, everybody else from elsewhere.
    fn enter(&mut self, who: &str) -> Result<(), String> {
        if self.actors.contains_key(who) {
            return Ok(());
        }
        let kind = who.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: u16 = who.trim_start_matches(kind).parse().unwrap_or(1);
        let address = match kind {
            "trunk" => format!("192.0.2.10:{}", 5060 + number),
            "client" => format!("198.51.100.10:{}", 6000 + number),
            "telephone" => format!("198.51.100.20:{}", 8000 + number),
            "stranger" => format!("198.51.100.66:{}", 7000 + number),
            _ => return Err(format!("nobody is called {who}")),
        };
        let address = address.parse().map_err(|_| "no address")?;
        self.actors.insert(who.into(), Actor::new(who, address));
        Ok(())
    }

    /// What an INVITE or REGISTER says besides a dialog's headers: whom it is for, with which token and credential.
    fn extras(&self, who: &str, words: &Words) -> Result<Extras, String> {
        let subject = words.value("as").unwrap_or(who);
        let default = if who.starts_with("client") || who.starts_with("telephone") { NAME } else { NUMBER };
        let mut user = words.value("to").unwrap_or(default).to_string();
        let mut headers = Vec::new();
        let call = words.number::<usize>("call")?.unwrap_or(self.parked.len());
        while let Some(kind) = words.kind("token") {
            let incoming =
                call.checked_sub(1).and_then(|call| self.parked.get(call)).ok_or("no such call was parked")?;
            let token = token(kind, incoming, &user, subject, self.now)?;
            match kind {
                "dial" | "dial_recorded" | "dial_unrecorded" => user = token,
                _ => headers.push(("X-Bridge-Token", token)),
            }
        }
        while let Some(kind) = words.kind("bearer") {
            headers.push(("Authorization", format!("Bearer {}", self.plan.jwt(kind, subject, self.now.wall)?)));
        }
        Ok(Extras { user, headers })
    }

    fn tell_media(&mut self, words: &Words) -> Result<(), String> {
        let verb = words.verb();
        let number = words.number::<usize>("flow")?.unwrap_or(self.flows.len());
        let flow = *number.checked_sub(1).and_then(|number| self.flows.get(number)).ok_or("no such flow")?;
        let side = if words.has("client") { parkway::id::Side::Client } else { parkway::id::Side::Caller };
        let event = match verb {
            "opened" => opened(flow, number),
            "failed" => media::Event::Failed { flow, reason: "no ports" },
            "closed" => media::Event::Closed { flow, report: Box::default() },
            "warns" => {
                let said = || media::Finding { id: "one_way_audio", leg: side.as_str(), text: String::new() };
                let over_after = words.has("over").then_some(Duration::from_secs(12));
                let warning = media::Warning { finding: said(), for_client: said(), over_after };
                media::Event::Warning { flow, warning: Box::new(warning) }
            }
            "silent" => {
                words.has("caller");
                let line = if words.has("fax") { media::Line::Fax } else { media::Line::Audio };
                media::Event::Silent { flow, side, line }
            }
            "digit" => {
                words.has("caller");
                let digit = words.value("key").and_then(|key| key.chars().next()).ok_or("which key")?;
                media::Event::Dtmf { flow, side, digit, duration_ms: 120, heard: media::Means::Rfc4733 }
            }
            _ => return Err(format!("the media does not say `{verb}`")),
        };
        self.input(&format!("media -> {verb}"), Input::Media(event))
    }

    fn tell_policy(&mut self, words: &Words) -> Result<(), String> {
        let verb = words.verb();
        let answer = match verb {
            "allows" => Answer::Reply(b"allow".into()),
            "denies" => Answer::Reply(b"deny".into()),
            "fails" => Answer::Unavailable,
            "times-out" => Answer::TimedOut,
            _ => return Err(format!("policy does not say `{verb}`")),
        };
        let open = || self.questions.iter().position(Option::is_some);
        let at =
            words.number::<usize>("question")?.map(|number| number - 1).or_else(open).ok_or("nothing was asked")?;
        let question = self.questions.get_mut(at).and_then(Option::take).ok_or("no such question")?;
        self.input(&format!("policy -> {verb}"), Input::Answer { question, answer })
    }

    fn tell_channel(&mut self, words: &Words) -> Result<(), String> {
        let verb = words.verb();
        let kind = match verb {
            "declines" => ClientMessageKind::Declined,
            "rings" => ClientMessageKind::Ringing,
            "presses" => {
                let dialled = media::Dialled::parse(words.value("keys").unwrap_or("12#")).ok_or("no keys")?;
                ClientMessageKind::Pressed(dialled)
            }
            _ => return Err(format!("a client does not say `{verb}`")),
        };
        let name = name(words.value("name").unwrap_or(NAME));
        let call = self.parked.last().ok_or("no call was parked")?.call;
        let message = ClientMessage { call, name, subject: words.value("as").unwrap_or("client").into(), kind };
        self.input(&format!("channel -> {verb}"), Input::Client(FromClient::Call(message)))
    }

    fn input(&mut self, what: &str, input: Input<'_>) -> Result<(), String> {
        self.note(what);
        self.switch.handle(self.now, input);
        self.drain()
    }

    /// Time passes, timer by timer.
    fn pass(&mut self, by: Duration) -> Result<(), String> {
        let end = self.now.at + by;
        while let Some(due) = self.switch.poll_timeout().filter(|due| *due <= end) {
            let before = self.now.at;
            self.advance(due.max(before));
            self.switch.handle_timeout(self.now);
            self.drain()?;
            if self.switch.poll_timeout().is_some_and(|next| next <= due && due <= before) {
                return Err("a timer goes off for ever".into());
            }
        }
        self.advance(end);
        Ok(())
    }

    fn advance(&mut self, to: Instant) {
        let by = to - self.now.at;
        self.now = Now { at: to, wall: self.now.wall + by };
    }

    /// Hands everything that the switch wants done to whom it is for. The relay answers at once, unless a flow says that it holds.
    fn drain(&mut self) -> Result<(), String> {
        while let Some(effect) = self.switch.poll_effect() {
            match effect {
                Effect::Transmit(transmit) => self.deliver(transmit.path, &transmit.bytes)?,
                Effect::Notify(notice) => self.hear_notice(notice)?,
                // No flow watches.
                Effect::Reachable { .. } => {}
                Effect::Media(command) => self.obey(&command)?,
                Effect::Ask { id, .. } => {
                    self.questions.push(Some(id));
                    self.keep("policy", format!("question={}", self.questions.len()));
                }
                Effect::Device(word) => return Err(format!("nobody is woken, and {word:?}")),
                Effect::Locate(locate) => return Err(format!("no trunk is gone to, and {locate:?}")),
                Effect::Record(record) => {
                    self.law.recorded(&record)?;
                    self.keep("record", describe(&record));
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, path: Path, bytes: &[u8]) -> Result<(), String> {
        let message = Text::read(bytes)?;
        let to = self.actors.values().find(|actor| actor.address == path.peer).map(|actor| actor.name.clone());
        let to = to.ok_or_else(|| format!("{} was sent to {}, where nobody is", message.start, path.peer))?;
        self.note(&format!("{to} <- {} ({})", message.start, message.cseq().1));
        self.law.sent(&message, bytes)?;
        let actor = self.actors.get_mut(&to).ok_or("nobody")?;
        actor.receive(message);
        Ok(())
    }

    fn hear_notice(&mut self, notice: Notice) -> Result<(), String> {
        self.law.told(&notice)?;
        let text = match &notice {
            Notice::Incoming(incoming) => format!("incoming name={} from={}", incoming.name, incoming.from),
            Notice::Gone(gone) => {
                let winner = gone.winner.as_ref().map(|name| format!(" winner={name}")).unwrap_or_default();
                format!("gone reason={}{winner}", gone.reason.as_str())
            }
            Notice::Personal(personal) => match &personal.news {
                // It repeats the record, which the flows have.
                News::Ended(_) => return Ok(()),
                News::Warning(warning) => {
                    let state = if warning.over_after.is_some() { "cleared" } else { "began" };
                    format!("warning name={} {state} {}", personal.name, warning.for_client.id)
                }
                News::Digit(Digit { leg, key, heard, .. }) => {
                    let leg = format!("{leg:?}").to_lowercase();
                    format!("digit name={} leg={leg} key={key} heard={}", personal.name, heard.as_str())
                }
            },
            // No flow has any.
            Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_) => return Err("nobody writes".into()),
        };
        self.keep("notify", text);
        if let Notice::Incoming(incoming) = notice {
            self.parked.push(incoming);
        }
        Ok(())
    }

    fn obey(&mut self, command: &Command) -> Result<(), String> {
        self.law.commanded(command)?;
        let holds = self.plan.media_holds;
        let (text, answer) = match command {
            Command::Open { flow, .. } => {
                self.flows.push(*flow);
                ("open".into(), Some(opened(*flow, self.flows.len())))
            }
            Command::Add { flow, line, .. } => {
                let (flow, line) = (*flow, *line);
                let added = |ports| Some(media::Event::Added { flow, line, ports });
                ("add".into(), added(self.plan.media_adds.then(|| further_ports(self.flows.len()))))
            }
            Command::Set { side, stream, .. } => {
                let remote = stream.remote_rtp.map_or("none".into(), |remote| remote.to_string());
                let numbers = stream.payload_types.iter().map(|number| format!("{}:{}", number.here, number.there));
                let numbers = numbers.collect::<Vec<_>>().join(",");
                let silence = stream.silence_max.map_or(0, |silence| silence.as_secs());
                let (side, sends) = (side.as_str(), stream.sends);
                let keys = stream.keys.as_deref().map_or("none".into(), |keys| self.keys(keys));
                let plays = stream.plays.map_or("none".into(), |play| {
                    let long = if stream.trust == media::Trust::Address { "" } else { "-unheard-for-a-second" };
                    format!("{}:{:?}:{}{long}", play.sound.0, play.law, play.payload_type)
                });
                let verb = match stream.line {
                    media::Line::Audio => "set",
                    media::Line::Video => "see",
                    media::Line::Fax => "fax",
                };
                let text = format!("{verb} {side} remote={remote} sends={sends} silence={silence} map={numbers}");
                let text = format!("{text} digits={:?}", stream.digits.reporting);
                let recording = stream.recording.as_deref().map_or(String::new(), |recording| {
                    let laws = recording.laws.iter().map(|(number, law)| format!("{number}:{law:?}"));
                    let announces = recording.announces.map_or("none".into(), |it| {
                        format!("{}:{:?}:{}", it.play.sound.0, it.play.law, it.play.payload_type)
                    });
                    format!(" recorded={} announces={announces}", laws.collect::<Vec<_>>().join(","))
                });
                (format!("{text} keys={keys} plays={plays}{recording}"), None)
            }
            Command::Record { file, sides, .. } => (format!("record {sides:?} {file}"), None),
            Command::Press { side, dialled, duration, .. } => {
                let keys: String = dialled.keys().collect();
                let ms = duration.map_or(0, |duration| duration.as_millis());
                (format!("press {} keys={keys} ms={ms}", side.as_str()), None)
            }
            Command::Clear { side, .. } => (format!("clear {}", side.as_str()), None),
            Command::Close { flow } => {
                ("close".into(), Some(media::Event::Closed { flow: *flow, report: Box::default() }))
            }
        };
        self.keep("media", text);
        match answer.filter(|_| !holds) {
            Some(answer) => self.input("media answers", Input::Media(answer)),
            None => Ok(()),
        }
    }

    /// A leg's keys: the suite, the letter that its own key is made of, and which one of all ours we send under.
    fn keys(&mut self, keys: &media::Keys) -> String {
        let (suite, first) = (keys.theirs.suite().as_str(), keys.theirs.key_and_salt()[0] >> 2);
        let known = self.own_keys.iter().position(|known| *known == keys.ours);
        let ours = known.unwrap_or_else(|| {
            self.own_keys.push(keys.ours.clone());
            self.own_keys.len() - 1
        });
        format!("{suite}:{}/{}", char::from(b'A' + first), ours + 1)
    }

    fn keep(&mut self, who: &'static str, what: String) {
        self.note(&format!("{who} <- {what}"));
        self.heard.entry(who).or_default().push_back(what);
    }

    fn note(&mut self, what: &str) {
        let since = Duration::from_micros(self.now.at.0 - 1_000_000_000);
        self.ladder.push(format!("{:>10.3} s {what}", since.as_secs_f64()));
    }

    fn hear(&mut self, who: &str, words: &Words) -> Result<(), String> {
        match self.heard.get_mut(who) {
            Some(heard) => expect_text(who, heard, words),
            None => self.hear_message(who, words),
        }
    }

    fn hear_message(&mut self, who: &str, words: &Words) -> Result<(), String> {
        let times = words.next_prefixed("x").and_then(|times| times.parse().ok()).unwrap_or(1);
        let silent = words.has("unacknowledged");
        let actor = self.actors.get_mut(who).ok_or_else(|| format!("nobody is called {who}"))?;
        let mut last = None;
        for count in 0..times {
            let message = actor.inbox.pop_front().ok_or_else(|| format!("{who} heard nothing ({count} of {times})"))?;
            if message.title() != words.verb() {
                return Err(format!("{who} heard {}", message.start));
            }
            last = Some(message);
        }
        let message = last.ok_or("x0 is no number of times")?;
        expect_message(&message, words)?;
        // A user agent acknowledges a refusal by itself, however the flow goes on (RFC 3261 §17.1.1.3).
        let refused = message.status().is_some_and(|status| status >= 300) && message.cseq().1 == "INVITE";
        if refused && !silent {
            let (ack, address) = (actor.acknowledge_refusal(&message), actor.address);
            self.datagram(who, address, &ack)?;
        }
        Ok(())
    }
}

fn opened(flow: FlowId, number: usize) -> media::Event {
    let (caller, client) = ports(30_000 + 4 * number);
    media::Event::Opened { flow, caller, client }
}

/// Of a further line.
fn further_ports(number: usize) -> media::Ports {
    ports(40_000 + 4 * number)
}

fn ports(first: usize) -> media::Ports {
    let port = |port: usize| SocketAddr::new([203, 0, 113, 1].into(), u16::try_from(port).expect("few flows"));
    (port(first), port(first + 2))
}
