//! Who is woken for a call, and when: a device whose client is not connected at once, another if nobody has said for a while that it rings, each
//! once a call. When the call is over, those that were woken are told.
//! Not here: sending (`office`), and whether a client may hear of the call (asked there, at the last moment).

use super::bell::Bell;
use super::desk::{Desk, Registration};
use super::device::Device;
use super::office::Office;
use crate::call::Gone;
use crate::id::CallId;
use crate::limits;
use crate::name::Name;
use crate::registrar::{DeviceWord, Wish};
use crate::time::{Duration, Wall};
use crate::token::SubjectHash;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the waker is told.
pub(super) enum Word {
    /// A call waits until then; these clients are connected over SIP.
    Call { call: CallId, called: Name, until: Wall, connected: Vec<(Name, SubjectHash)> },
    /// A client rings.
    Rings(CallId),
    /// A call waits no more.
    Over { sequence: u64, gone: Box<Gone> },
    /// A registration over SIP said something of a device.
    Device(Box<DeviceWord>),
}

/// A call for which somebody is or may be woken.
struct Waiting {
    called: Name,
    until: Wall,
    /// Those whose clients are connected.
    later: Vec<Arc<Device>>,
    woken: Vec<(Arc<Device>, JoinHandle<bool>)>,
    /// When something is to be done: the later ones woken, or the call forgotten.
    due: Instant,
}

/// The task; run it.
pub struct Waker {
    words: mpsc::Receiver<Word>,
    desk: Arc<Desk>,
    office: Arc<Office>,
    after: Duration,
    calls: BTreeMap<CallId, Waiting>,
    by_due: BTreeSet<(Instant, CallId)>,
}

/// Both ends.
pub(super) fn open(after: Duration, desk: Arc<Desk>, office: Arc<Office>) -> (Bell, Waker) {
    let (sender, words) = mpsc::channel(limits::PUSH_WORDS_QUEUED_MAX);
    let bell = Bell::new(Arc::clone(desk.devices()), sender, Arc::clone(office.metrics()));
    (bell, Waker { words, desk, office, after, calls: BTreeMap::new(), by_due: BTreeSet::new() })
}

impl Waker {
    /// Runs until the switch thread is gone.
    pub async fn run(mut self) {
        loop {
            let idle = Instant::now() + Duration::from_secs(3600);
            let due = self.by_due.first().map_or(idle, |(due, _)| *due);
            tokio::select! {
                word = self.words.recv() => match word {
                    Some(word) => self.hear(word),
                    None => return,
                },
                () = tokio::time::sleep_until(due) => self.handle_timeout(),
            }
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Call { call, called, until, connected } => self.handle_call((call, called), until, &connected),
            Word::Rings(call) => {
                self.calls.get_mut(&call).into_iter().for_each(|waiting| waiting.later.clear());
            }
            Word::Over { sequence, gone } => self.handle_over(sequence, &gone),
            Word::Device(word) => self.handle_device(*word),
        }
    }

    fn handle_call(&mut self, (call, called): (CallId, Name), until: Wall, connected: &[(Name, SubjectHash)]) {
        // A call that was handed on waits anew, for another name.
        self.forget(call);
        let devices = self.desk.devices().reached(&called);
        if devices.is_empty() {
            return;
        }
        if self.calls.len() >= limits::PUSH_CALLS_MAX {
            self.office.metrics().push_total.with_all(&[]).inc();
            return;
        }
        let registry = self.office.registry();
        let is_connected = |device: &Arc<Device>| {
            let who = device.who();
            registry.hears(&device.name, who)
                || connected.iter().any(|(name, client)| *name == device.name && *client == who)
        };
        let (later, asleep): (Vec<_>, Vec<_>) = devices.into_iter().partition(is_connected);
        let due = Instant::now() + self.after;
        let mut waiting = Waiting { called, until, later, woken: Vec::new(), due };
        self.wake(call, &mut waiting, asleep);
        self.by_due.insert((waiting.due, call));
        self.calls.insert(call, waiting);
    }

    fn wake(&self, call: CallId, waiting: &mut Waiting, devices: Vec<Arc<Device>>) {
        for device in devices {
            let sent = self.office.wake((&waiting.called, call), &device, waiting.until);
            waiting.woken.extend(sent.map(|sent| (device, sent)));
        }
    }

    /// Nobody has said that it rings: the others are woken too. After that the call is remembered for as long as its end may be told.
    fn handle_timeout(&mut self) {
        while let Some((_, call)) = self.by_due.first().copied().filter(|(due, _)| *due <= Instant::now()) {
            let Some(mut waiting) = self.forget(call) else { continue };
            let left = waiting.until.0.saturating_sub(self.office.registry().now().wall.0);
            if left == 0 {
                continue;
            }
            let later = std::mem::take(&mut waiting.later);
            self.wake(call, &mut waiting, later);
            waiting.due = Instant::now() + Duration::from_millis(left) + limits::PUSH_END_LIFE;
            self.by_due.insert((waiting.due, call));
            self.calls.insert(call, waiting);
        }
    }

    fn handle_over(&mut self, sequence: u64, gone: &Gone) {
        let Some(Waiting { called, woken, .. }) = self.forget(gone.call) else { return };
        if woken.is_empty() {
            return;
        }
        let text = self.office.registry().takes_back(sequence, gone);
        for woken in woken {
            self.office.take_back((&called, gone.call), woken, text.clone());
        }
    }

    fn forget(&mut self, call: CallId) -> Option<Waiting> {
        let waiting = self.calls.remove(&call)?;
        self.by_due.remove(&(waiting.due, call));
        Some(waiting)
    }

    fn handle_device(&self, DeviceWord { name, proof, wish }: DeviceWord) {
        let registry = self.office.registry();
        let Ok(claims) = registry.claims(&proof) else { return };
        let (subject, devices) = (claims.subject().to_owned(), self.desk.devices());
        match wish {
            Wish::Keep { target, instance, longest } => {
                let now = registry.now().wall;
                let credential = now + longest;
                let order =
                    Registration { name, subject, proof, target, keys: None, instance, by_sip: true, credential };
                if let Err(unfit) = self.desk.register(now, order) {
                    tracing::info!(?unfit, "a device that registered over SIP cannot be woken");
                }
            }
            Wish::Drop { target, instance } => devices.remove_of(&name, |device| {
                let is_it = target.as_ref().is_some_and(|target| *target == device.target);
                device.subject == subject && (is_it || (instance.is_some() && device.instance == instance))
            }),
            Wish::DropAll => devices.remove_of(&name, |device| device.by_sip && device.subject == subject),
        }
    }
}
