//! A user agent of a flow: it writes what a step tells it to and keeps what a dialog needs (RFC 3261 §12.1.2). It never does anything
//! by itself, so a flow can leave out whatever it likes. One dialog at a time; a new INVITE begins a new one when the last is over.

use super::script::Words;
use super::wire::{BOUNDARY, Said, Text, write};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Where the switch listens.
pub(crate) const SWITCH: &str = "203.0.113.1:5060";

/// One user agent.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// What came and no step has looked at yet.
    pub(crate) inbox: VecDeque<Text>,
    sent: Vec<(String, Vec<u8>)>,
    dialog: Dialog,
    /// Requests that came, for responses to be made of.
    received: Vec<Text>,
    count: u32,
    description: String,
    /// Its version.
    version: u32,
}

/// What a dialog needs, from the first INVITE on.
#[derive(Clone, Default)]
struct Dialog {
    call_id: String,
    tag: String,
    to: String,
    remote_tag: Option<String>,
    target: String,
    /// The first Request-URI, which a CANCEL repeats even when the target has changed.
    called: String,
    cseq: u32,
    /// The last INVITE: its number and branch, which ACK and CANCEL repeat.
    invite: (u32, String),
    /// The RSeq of the last reliable response to it.
    rseq: u32,
    /// It had a 2xx.
    is_confirmed: bool,
    /// Neither side will say anything new.
    is_over: bool,
}

/// What an INVITE or REGISTER has besides a dialog's headers, made by the stage.
pub(crate) struct Extras {
    /// The user part of the Request-URI.
    pub(crate) user: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Actor {
    pub(crate) fn new(name: &str, address: SocketAddr) -> Actor {
        let dialog = Dialog { is_over: true, ..Dialog::default() };
        let name = name.into();
        Actor {
            name,
            address,
            inbox: VecDeque::new(),
            sent: Vec::new(),
            dialog,
            received: Vec::new(),
            count: 0,
            description: String::new(),
            version: 0,
        }
    }

    /// Something came.
    pub(crate) fn receive(&mut self, message: Text) {
        if message.status().is_none() {
            self.received.push(message.clone());
            if message.title() == "BYE" {
                self.dialog.is_over = true;
            }
        }
        self.learn(&message);
        self.inbox.push_back(message);
    }

    /// What a response to its INVITE says of the dialog.
    fn learn(&mut self, message: &Text) {
        let (number, method) = message.cseq();
        let (Some(status), "INVITE") = (message.status(), method) else { return };
        if number != self.dialog.invite.0 || message.header("Call-ID") != Some(&self.dialog.call_id) {
            return;
        }
        if let Some(rseq) = message.header("RSeq").and_then(|rseq| rseq.parse().ok()) {
            self.dialog.rseq = rseq;
        }
        if status > 100 {
            self.dialog.remote_tag = self.dialog.remote_tag.take().or_else(|| message.tag("To").map(String::from));
        }
        if (200..300).contains(&status) {
            self.dialog.target = message.contact().unwrap_or_default().into();
            self.dialog.is_confirmed = true;
        } else if status >= 300 && !self.dialog.is_confirmed {
            self.dialog.is_over = true;
        }
    }

    /// Whether its INVITE would begin a new dialog.
    pub(crate) fn is_idle(&self) -> bool {
        self.dialog.is_over
    }

    /// Writes what a step says: a request, a response, or `again`.
    pub(crate) fn tell(&mut self, words: &Words, extras: Option<Extras>) -> Result<Vec<u8>, String> {
        let verb = words.verb().to_string();
        let bytes = match verb.as_str() {
            "again" => return self.again(words),
            "forked" => return self.forked(),
            "ACK" => self.acknowledge(words)?,
            "CANCEL" => self.cancel(),
            "INVITE" => self.invite(words, extras)?,
            "REGISTER" => self.register(words, extras)?,
            status if status.parse::<u16>().is_ok() => self.respond(status, words)?,
            method => self.request(method, words)?,
        };
        self.sent.push((verb, bytes.clone()));
        Ok(bytes)
    }

    /// The last message, or the last of that name, once more.
    fn again(&mut self, words: &Words) -> Result<Vec<u8>, String> {
        let wanted = words.next();
        let found = self.sent.iter().rev().find(|(verb, _)| wanted.is_none_or(|wanted| wanted == verb));
        found.map(|(_, bytes)| bytes.clone()).ok_or_else(|| "nothing like that was sent".into())
    }

    /// The last INVITE as it comes by another way: with another branch (RFC 3261 §8.2.2.2).
    fn forked(&mut self) -> Result<Vec<u8>, String> {
        let found = self.sent.iter().rev().find(|(verb, _)| verb == "INVITE");
        let (_, bytes) = found.ok_or("no INVITE was sent")?;
        let text = String::from_utf8_lossy(bytes).replacen("branch=z9hG4bK", "branch=z9hG4bKother-way-", 1);
        Ok(text.into_bytes())
    }

    fn invite(&mut self, words: &Words, extras: Option<Extras>) -> Result<Vec<u8>, String> {
        let extras = match extras {
            Some(extras) => {
                self.begin(&extras.user);
                extras.headers
            }
            None => Vec::new(),
        };
        let extras = [extras, free(words)?].concat();
        let body = self.describe(words)?;
        self.dialog.cseq += 1;
        let branch = self.branch();
        self.dialog.invite = (self.dialog.cseq, branch.clone());
        Ok(self.write("INVITE", &branch, self.dialog.cseq, extras, &body))
    }

    /// From here on it may be rung.
    fn register(&mut self, words: &Words, extras: Option<Extras>) -> Result<Vec<u8>, String> {
        let Extras { user, headers } = extras.ok_or("a REGISTER without a name")?;
        self.begin(&user);
        let extras = [headers, free(words)?].concat();
        let branch = self.branch();
        let bytes = self.write("REGISTER", &branch, 1, extras, "");
        self.dialog.is_over = true;
        Ok(bytes)
    }

    fn begin(&mut self, user: &str) {
        self.count += 1;
        let (name, count, host) = (&self.name, self.count, self.address.ip());
        let target = format!("sip:{user}@{SWITCH}");
        self.dialog = Dialog {
            call_id: format!("{name}-{count}@{host}"),
            tag: format!("{name}-{count}"),
            to: format!("<{target}>"),
            called: target.clone(),
            target,
            ..Dialog::default()
        };
        self.received.clear();
    }

    fn request(&mut self, method: &str, words: &Words) -> Result<Vec<u8>, String> {
        if self.dialog.is_over && method != "BYE" || self.dialog.call_id.is_empty() {
            self.begin("anybody");
        }
        let body = self.describe(words)?;
        if method == "BYE" {
            self.dialog.is_over = true;
        }
        self.dialog.cseq = words.number("cseq")?.unwrap_or(self.dialog.cseq + 1);
        let branch = self.branch();
        let mut extras = free(words)?;
        if words.has("rack") {
            extras.push(("RAck", format!("{} {} INVITE", self.dialog.rseq, self.dialog.invite.0)));
        }
        Ok(self.write(method, &branch, self.dialog.cseq, extras, &body))
    }

    /// The ACK of the last 2xx, or of the one that `cseq=1` names, with a branch of its own (RFC 3261 §13.2.2.4).
    fn acknowledge(&mut self, words: &Words) -> Result<Vec<u8>, String> {
        let body = self.describe(words)?;
        let branch = self.branch();
        let number = words.number("cseq")?.unwrap_or(self.dialog.invite.0);
        Ok(self.write("ACK", &branch, number, Vec::new(), &body))
    }

    /// The ACK of a final response that is no 2xx: of the INVITE's transaction (RFC 3261 §17.1.1.3).
    pub(crate) fn acknowledge_refusal(&mut self, response: &Text) -> Vec<u8> {
        let (number, branch) = (response.cseq().0, response.branch());
        let in_dialog = std::mem::replace(&mut self.dialog.remote_tag, response.tag("To").map(String::from));
        let bytes = self.write("ACK", branch, number, Vec::new(), "");
        self.dialog.remote_tag = in_dialog;
        bytes
    }

    /// RFC 3261 §9.1: as the INVITE, To included.
    fn cancel(&mut self) -> Vec<u8> {
        let now = self.dialog.clone();
        let (number, branch) = now.invite.clone();
        if number == 1 {
            (self.dialog.remote_tag, self.dialog.target) = (None, now.called.clone());
        }
        let bytes = self.write("CANCEL", &branch, number, Vec::new(), "");
        self.dialog = now;
        bytes
    }

    fn write(&self, method: &str, branch: &str, number: u32, extras: Vec<(&str, String)>, body: &str) -> Vec<u8> {
        let Dialog { call_id, tag, to, remote_tag, target, .. } = &self.dialog;
        let to_tag = remote_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let mut headers = vec![
            ("Via", format!("SIP/2.0/UDP {};branch={branch};rport", self.address)),
            ("From", format!("<sip:{}@{}>;tag={tag}", self.name, self.address.ip())),
            ("To", format!("{to}{to_tag}")),
            ("Call-ID", call_id.clone()),
            ("CSeq", format!("{number} {method}")),
        ];
        let says = |header: &str| extras.iter().any(|(name, _)| *name == header);
        if matches!(method, "INVITE" | "UPDATE" | "REGISTER") && !says("Contact") {
            headers.push(("Contact", self.contact()));
        }
        if !says("Max-Forwards") {
            headers.push(("Max-Forwards", "70".into()));
        }
        headers.extend(extras);
        write(&format!("{method} {target} SIP/2.0"), &headers, body)
    }

    /// Answers the last request that came, or the last with the method that `CSeq:…` names.
    fn respond(&mut self, status: &str, words: &Words) -> Result<Vec<u8>, String> {
        let method = words.next_prefixed("CSeq:").map(String::from);
        let wanted = |request: &&Text| method.as_ref().is_none_or(|method| request.title() == *method);
        let request = self.received.iter().rev().find(wanted).ok_or("no such request came")?;
        let mut copied =
            ["From", "To", "Call-ID", "CSeq"].map(|name| (name, request.header(name).unwrap_or("").to_string()));
        // It was rung: the dialog is as though it had called, the other way round (RFC 3261 §12.1.1).
        if request.tag("To").is_none() {
            copied[1].1 += &format!(";tag={}", self.name);
            let (remote_tag, target) =
                (request.tag("From").map(String::from), request.contact().unwrap_or_default().into());
            let to = copied[0].1.split(";tag=").next().unwrap_or_default().to_owned();
            let (call_id, tag, is_confirmed) = (copied[2].1.clone(), self.name.clone(), status.starts_with('2'));
            let is_over = status >= "300";
            self.dialog = Dialog { call_id, tag, to, remote_tag, target, is_confirmed, is_over, ..Dialog::default() };
        }
        let vias = request.all("Via").into_iter().map(|via| ("Via", via.to_string()));
        let contact = matches!(request.title().as_str(), "INVITE" | "UPDATE").then(|| ("Contact", self.contact()));
        let free = free(words)?;
        let headers: Vec<(&str, String)> = vias.chain(copied).chain(contact).chain(free).collect();
        let body = self.describe(words)?;
        Ok(write(&format!("SIP/2.0 {status} As Told"), &headers, &body))
    }

    /// `offer=…` or `answer=…`; `repeated` for the last description as it was; `unversioned` keeps the version of the last one.
    fn describe(&mut self, words: &Words) -> Result<String, String> {
        if let Some(body) = words.value("body") {
            return Ok(body.into());
        }
        let Some(codecs) = words.value("offer").or_else(|| words.value("answer")) else { return Ok(String::new()) };
        match codecs {
            "repeated" => return Ok(self.description.clone()),
            "garbage" => return Ok("this is no session description".into()),
            _ => {}
        }
        self.count += 1;
        let port = words.value("port").and_then(|port| port.parse().ok()).unwrap_or(40_000);
        let directions = ["sendonly", "recvonly", "inactive"];
        let direction = directions.into_iter().find(|direction| words.has(direction)).unwrap_or("sendrecv");
        let host = self.address.ip().to_string();
        let is_part = words.has("multipart");
        let video = words.kind("video").map(|kind| match kind {
            "refused" => (0, 99),
            number => (50_000, number.parse().unwrap_or(99)),
        });
        self.version = if words.has("unversioned") { self.version } else { self.count };
        let (is_secure, crypto, video_keys) = (words.has("secure"), words.value("crypto"), words.value("videokeys"));
        let (version, fax) = (self.version, words.value("fax"));
        let said = Said { host: &host, port, version, codecs, direction, is_secure, crypto, video, video_keys, fax };
        self.description = said.write()?;
        if is_part {
            let isup = "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\nx";
            let sdp = format!("Content-Type: application/sdp\r\n\r\n{}", self.description);
            return Ok(format!("--{BOUNDARY}\r\n{isup}\r\n--{BOUNDARY}\r\n{sdp}\r\n--{BOUNDARY}--\r\n"));
        }
        Ok(self.description.clone())
    }

    fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.name, self.address)
    }

    fn branch(&mut self) -> String {
        self.count += 1;
        format!("z9hG4bK{}-{}", self.name, self.count)
    }
}

/// Headers that a step adds: `+Name:value`, the whole in quotes where there are blanks in it.
fn free(words: &Words) -> Result<Vec<(&str, String)>, String> {
    let mut headers = Vec::new();
    while let Some(header) = words.next_prefixed("+") {
        let (name, value) = header.split_once(':').ok_or_else(|| format!("`+{header}` is no header"))?;
        headers.push((name, value.into()));
    }
    Ok(headers)
}
