//! The switch thread's end: what happened to calls, in few words and without ever waiting.
//! Not here: what comes of it (`waker`).

use super::devices::Devices;
use super::waker::Word;
use crate::call::{Gone, Incoming};
use crate::id::CallId;
use crate::name::Name;
use crate::registrar::DeviceWord;
use crate::telemetry::Metrics;
use crate::token::SubjectHash;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Hands words to the waker.
pub struct Bell {
    devices: Arc<Devices>,
    words: mpsc::Sender<Word>,
    metrics: Arc<Metrics>,
}

impl Bell {
    pub(super) fn new(devices: Arc<Devices>, words: mpsc::Sender<Word>, metrics: Arc<Metrics>) -> Bell {
        Bell { devices, words, metrics }
    }

    /// Whether there is any device: if not, what happens to calls need not be said.
    pub fn is_wanted(&self) -> bool {
        !self.devices.is_empty()
    }

    /// A call is parked, and was published. `connected` finds the clients that are connected over SIP and hear of it.
    pub fn call(&self, incoming: &Incoming, connected: impl FnOnce() -> Vec<(Name, SubjectHash)>) {
        let (call, called, until) = (incoming.call, incoming.name.clone(), incoming.expires);
        self.say(Word::Call { call, called, until, connected: connected() });
    }

    /// A client says that it rings.
    pub fn rings(&self, call: CallId) {
        if self.is_wanted() {
            self.say(Word::Rings(call));
        }
    }

    /// A call waits no more; the notice of that number.
    pub fn over(&self, sequence: u64, gone: &Gone) {
        self.say(Word::Over { sequence, gone: Box::new(gone.clone()) });
    }

    /// A client that registers over SIP says how it is woken.
    pub fn device(&self, word: Box<DeviceWord>) {
        self.say(Word::Device(word));
    }

    /// One too many is lost and counted: a call rings without those who sleep, and a device is registered again with the next REGISTER.
    fn say(&self, word: Word) {
        if self.words.try_send(word).is_err() {
            self.metrics.push_total.with_all(&[]).inc();
        }
    }
}
