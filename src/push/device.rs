//! A device that can be woken: under which name its owner hears of calls, what its push service knows it by, and what its owner has proved.
//! Not here: the table of them (`devices`), and the file (`store`).

use crate::name::Name;
use crate::policy::Proof;
use crate::registrar::Target;
use crate::time::Wall;
use crate::token::SubjectHash;
use ring::digest::{Context, SHA256};
use std::fmt;

/// Names a device: a hash of its name and of what its service knows it by, so that who registers again renews, and logs can tell devices apart
/// without saying how to wake them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(u128);

impl DeviceId {
    /// Of a device of this name.
    pub(super) fn of(name: &Name, target: &Target) -> DeviceId {
        let mut context = Context::new(&SHA256);
        for part in [name.as_str(), &target.provider, &target.prid] {
            context.update(part.as_bytes());
            // Neither names nor words of push services have it.
            context.update(&[0]);
        }
        let hash = context.finish();
        let half = hash.as_ref().first_chunk::<16>().expect("SHA-256 has 32 bytes");
        DeviceId(u128::from_be_bytes(*half))
    }

    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<DeviceId> {
        let id = DeviceId(u128::from_str_radix(text, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a browser decrypts with (RFC 8291 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BrowserKeys {
    /// Its public key: an uncompressed point of P-256.
    pub(super) public: [u8; 65],
    /// What it shares with us alone.
    pub(super) auth: [u8; 16],
}

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    /// Its id.
    pub(super) id: DeviceId,
    /// Under which name it hears of calls.
    pub(super) name: Name,
    /// How it is woken.
    pub(super) target: Target,
    /// Where it is a browser, what it decrypts with; without it nothing but the push itself is sent.
    pub(super) keys: Option<BrowserKeys>,
    /// Its owner.
    pub(super) subject: String,
    /// What its owner has shown: looked at again at each push.
    pub(super) proof: Proof,
    /// `+sip.instance`, of a device that registered over SIP.
    pub(super) instance: Option<String>,
    /// Whether it registered over SIP.
    pub(super) by_sip: bool,
    /// When it is forgotten.
    pub(super) expires: Wall,
}

impl Device {
    /// Its owner, as connections are known.
    pub(super) fn who(&self) -> SubjectHash {
        SubjectHash::of(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_devices_apart_and_tells_nothing_of_them() {
        let id = |name: &str, provider: &str, prid: &str| {
            let target = Target { provider: provider.into(), prid: prid.into(), param: None };
            DeviceId::of(&Name::parse(name).unwrap(), &target)
        };
        let one = id("foo", "apns", "00fc");
        assert_eq!(one, id("foo", "apns", "00fc"));
        for other in [id("foo/web", "apns", "00fc"), id("foo", "fcm", "00fc"), id("foo", "apns", "00fd")] {
            assert_ne!(one, other);
        }
        assert_eq!(DeviceId::parse(&one.to_string()), Some(one));
        for text in ["", "00fc", "+0000000000000000000000000000fc", "zz"] {
            assert_eq!(DeviceId::parse(text), None, "{text}");
        }
    }
}
