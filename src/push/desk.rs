//! Takes devices in, from whoever has proved that he may hear of calls for their name: over HTTP, over SIP, and out of the file at the start.
//! Not here: the proof.

use super::device::{BrowserKeys, Device, DeviceId};
use super::devices::{Devices, Full};
use super::service::Services;
use crate::name::Name;
use crate::policy::Proof;
use crate::registrar::{self, Target};
use crate::time::Wall;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::sync::Arc;

/// base64url with padding or without: browsers leave it out, and some libraries do not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is registered.
pub struct Registration {
    /// Under which name it hears of calls.
    pub name: Name,
    /// Its owner.
    pub subject: String,
    /// What he has shown.
    pub proof: Proof,
    /// How it is woken.
    pub target: Target,
    /// What a browser decrypts with: `p256dh` and `auth`, in base64url.
    pub keys: Option<(String, String)>,
    /// `+sip.instance`.
    pub instance: Option<String>,
    /// Whether it came over SIP.
    pub by_sip: bool,
    /// When the credential ends.
    pub credential: Wall,
}

/// Why a device is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// There is no such service, or it does not wake this application.
    UnknownService,
    /// The service cannot have said that: its word for the device, or its keys.
    Malformed,
    /// There is no room for another.
    Full,
}

/// Takes devices in. Shared by `Arc`; none of its methods waits.
pub struct Desk {
    devices: Arc<Devices>,
    known: registrar::Services,
    services: Services,
}

impl Desk {
    pub(super) fn new(devices: Arc<Devices>, known: registrar::Services, services: Services) -> Desk {
        Desk { devices, known, services }
    }

    pub(super) fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// Remembers a device, or renews it. Says its id and until when.
    pub fn register(&self, now: Wall, order: Registration) -> Result<(DeviceId, Wall), Unfit> {
        let expires = self.devices.end(now, order.credential);
        self.keep(now, order, expires)
    }

    /// Remembers a device until then.
    pub(super) fn keep(&self, now: Wall, order: Registration, expires: Wall) -> Result<(DeviceId, Wall), Unfit> {
        let Registration { name, subject, proof, target, keys, instance, by_sip, credential: _ } = order;
        let service = self.services.get(&target.provider).ok_or(Unfit::UnknownService)?;
        if !self.known.knows(&target.provider, target.param.as_deref()) {
            return Err(Unfit::UnknownService);
        }
        let keys = match keys {
            Some((public, auth)) => Some(browser_keys(&public, &auth).ok_or(Unfit::Malformed)?),
            None => None,
        };
        if !service.fits(&target, keys.as_ref()) {
            return Err(Unfit::Malformed);
        }
        let id = DeviceId::of(&name, &target);
        let device = Device { id, name, target, keys, subject, proof, instance, by_sip, expires };
        self.devices.keep(now, device).map_err(|Full| Unfit::Full)?;
        tracing::info!(device = %id, "a device can be woken");
        Ok((id, expires))
    }

    /// Forgets a device of this owner's; `false` if he has none such.
    pub fn forget(&self, name: &Name, subject: &str, id: DeviceId) -> bool {
        let is_his = self.devices.get(id).is_some_and(|device| device.subject == subject && device.name == *name);
        is_his && self.devices.remove(id).is_some()
    }

    /// The services, as clients are told of them: name, kind, and what a browser has to know.
    pub fn services(&self) -> Vec<(String, &'static str, Option<String>)> {
        let described = self.known.0.iter().filter_map(|service| {
            let kind = self.services.get(&service.name)?.kind;
            Some((service.name.clone(), kind, service.vapid.clone()))
        });
        described.collect()
    }
}

/// The two keys as bytes, and back.
fn browser_keys(public: &str, auth: &str) -> Option<BrowserKeys> {
    let (public, auth) = (BASE64URL.decode(public).ok()?, BASE64URL.decode(auth).ok()?);
    Some(BrowserKeys { public: public.try_into().ok()?, auth: auth.try_into().ok()? })
}

impl BrowserKeys {
    /// As a registration says them.
    pub(super) fn texts(&self) -> (String, String) {
        (BASE64URL.encode(self.public), BASE64URL.encode(self.auth))
    }
}
