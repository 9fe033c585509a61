//! Keeps devices over a restart: `devices.jsonl` in the state directory, one JSON object a line, 0600, because what wakes a device and what its owner
//! has shown are in it. The file is written whole under another name and then renamed, so it is the one of before or the one of after, whenever the
//! host goes down; with at most some ten thousand lines that is less than a log to be compacted would be, and it can be read by people.
//! Not here: which devices there are (`devices`).

use super::desk::{Desk, Registration};
use super::device::Device;
use crate::limits;
use crate::name::Name;
use crate::policy::Proof;
use crate::registrar::Target;
use crate::secret::Secret;
use crate::telemetry::Metrics;
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// In the state directory.
const FILE: &str = "devices.jsonl";

/// Writes the file when something has changed. Clones share it.
#[derive(Clone)]
pub struct Store {
    desk: Arc<Desk>,
    file: Option<PathBuf>,
    /// As of how many changes the file is.
    written: Arc<AtomicU64>,
}

/// A line.
#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    provider: String,
    prid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<(String, String)>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    sip: bool,
    /// Milliseconds since 1970.
    expires: u64,
}

impl Store {
    /// Reads what was kept. A line that cannot be read any more, or is for a service that is not there any more, is left out.
    pub(super) fn open(state_dir: Option<&Path>, desk: Arc<Desk>, now: Wall) -> Store {
        let file = state_dir.map(|dir| dir.join(FILE));
        let store = Store { desk, file, written: Arc::default() };
        let text = store.file.as_ref().map(fs::read_to_string).and_then(Result::ok).unwrap_or_default();
        let mut lost = 0;
        for line in text.lines() {
            let kept = serde_json::from_str(line).ok().and_then(|line| store.restore(line, now));
            lost += usize::from(kept.is_none());
        }
        if lost > 0 {
            tracing::warn!(lost, "devices of before cannot be woken any more");
        }
        store.written.store(store.desk.devices().changes(), Ordering::Relaxed);
        store
    }

    fn restore(&self, line: Line, now: Wall) -> Option<()> {
        let Line { name, provider, prid, param, keys, subject, jwt, instance, sip, expires } = line;
        let expires = Wall(expires);
        if expires <= now {
            return Some(());
        }
        let proof = match jwt {
            Some(jwt) => Proof::Jwt(Secret::new(jwt)),
            None => Proof::User(subject.as_str().into()),
        };
        let (name, target) = (Name::parse(&name).ok()?, Target { provider, prid, param });
        let order = Registration { name, subject, proof, target, keys, instance, by_sip: sip, credential: expires };
        self.desk.keep(now, order, expires).ok().map(drop)
    }

    /// Runs for good: writes some time after each change, so that many make one file.
    pub async fn run(self, metrics: Arc<Metrics>) {
        loop {
            metrics.push_devices.set(u64::try_from(self.desk.devices().len()).unwrap_or(u64::MAX));
            self.desk.devices().changed().await;
            metrics.push_devices.set(u64::try_from(self.desk.devices().len()).unwrap_or(u64::MAX));
            tokio::time::sleep(limits::DEVICES_WRITTEN_AFTER).await;
            let store = self.clone();
            let _written = tokio::task::spawn_blocking(move || store.flush()).await;
        }
    }

    /// Writes what has changed, if anything has.
    pub fn flush(&self) {
        let Some(file) = &self.file else { return };
        let changes = self.desk.devices().changes();
        if self.written.swap(changes, Ordering::Relaxed) == changes {
            return;
        }
        if let Err(error) = write(file, &self.desk.devices().all()) {
            self.written.store(0, Ordering::Relaxed);
            tracing::warn!(file = %file.display(), %error, "devices cannot be written down and are forgotten at a restart");
        }
    }
}

fn write(file: &Path, devices: &[Arc<Device>]) -> io::Result<()> {
    let draft = file.with_extension("jsonl.new");
    let mut options = OpenOptions::new();
    let mut out = BufWriter::new(options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?);
    for device in devices {
        serde_json::to_writer(&mut out, &line(device))?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&draft, file)
}

fn line(device: &Device) -> Line {
    let jwt = match &device.proof {
        Proof::Jwt(jwt) => Some(jwt.expose().clone()),
        Proof::User(_) => None,
    };
    let target = device.target.clone();
    Line {
        name: device.name.to_string(),
        provider: target.provider,
        prid: target.prid,
        param: target.param,
        keys: device.keys.as_ref().map(super::device::BrowserKeys::texts),
        subject: device.subject.clone(),
        jwt,
        instance: device.instance.clone(),
        sip: device.by_sip,
        expires: device.expires.0,
    }
}
