//! How a client that sleeps is woken: the push service that it names in its Contact, and what that service knows it by (RFC 8599).
//! Not here: waking it (`push`). What a registration says of it goes to the shell as a [`DeviceWord`].

use crate::limits;
use crate::name::Name;
use crate::policy::Proof;
use crate::sip::wire::Uri;
use crate::time::Duration;
use std::fmt::Write as _;

/// What a push service knows a device by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Target {
    /// `pn-provider`: the service, as the configuration calls it.
    pub provider: String,
    /// `pn-prid`: the device, in the service's words. Whoever has it can wake the device, so it is in no log.
    pub prid: String,
    /// `pn-param`: the application, in the service's words.
    pub param: Option<String>,
}

/// What a Contact says of push.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Push {
    /// Which services there are, or whether there is this one.
    Asks(Option<String>),
    /// It can be woken so.
    Woken(Target),
}

/// A push service that we can ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name: the value of `pn-provider`.
    pub name: String,
    /// The one application that we can wake there, where the service has several.
    pub param: Option<String>,
    /// The public key that a browser has to know (RFC 8292 §3.2), in base64url.
    pub vapid: Option<String>,
}

/// All of them, in the order of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Services(pub Vec<Service>);

/// What a registration says of a device, for the shell.
#[derive(Debug)]
pub struct DeviceWord {
    /// Under which name it hears of calls.
    pub name: Name,
    /// Who said so.
    pub proof: Proof,
    /// What he said.
    pub wish: Wish,
}

/// What becomes of a device.
#[derive(Debug)]
pub enum Wish {
    /// It is kept, for so long as its owner's credential is good.
    Keep {
        /// How it is woken.
        target: Target,
        /// `+sip.instance`: which device it is, whatever its service calls it by now.
        instance: Option<String>,
        /// How long the credential is good.
        longest: Duration,
    },
    /// It is forgotten: it says so, or it registers without saying how it is woken (RFC 8599).
    Drop {
        /// How it was woken.
        target: Option<Target>,
        /// Which device it is.
        instance: Option<String>,
    },
    /// All devices that this client has registered under the name.
    DropAll,
}

impl Push {
    /// Of a Contact's URI, where its parameters are; `Some(None)` if that cannot be read.
    pub(super) fn read(uri: &Uri<'_>) -> Option<Option<Push>> {
        let text = |name: &str| uri.param_unescaped(name, limits::PUSH_PARAM_BYTES_MAX);
        let provider = uri.param("pn-provider")?;
        if provider.is_none() {
            return Some(Some(Push::Asks(None)));
        }
        let Some(provider) = text("pn-provider") else { return Some(None) };
        Some(match (uri.param("pn-prid"), uri.param("pn-param")) {
            (None, _) => Some(Push::Asks(Some(provider))),
            (Some(_), None) => text("pn-prid").map(|prid| Push::Woken(Target { provider, prid, param: None })),
            (Some(_), Some(_)) => text("pn-prid")
                .zip(text("pn-param"))
                .map(|(prid, param)| Push::Woken(Target { provider, prid, param: Some(param) })),
        })
    }
}

impl Services {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one of them can wake that application (RFC 8599; else 555).
    pub fn knows(&self, provider: &str, param: Option<&str>) -> bool {
        let service = self.0.iter().find(|service| service.name == provider);
        service.is_some_and(|service| match (service.param.as_deref(), param) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, None) | (None, _) => true,
        })
    }

    /// The value of `Feature-Caps` (RFC 6809) that says which of them there are (RFC 8599): all, or one.
    pub fn capabilities(&self, only: Option<&str>) -> String {
        let mut value = String::new();
        for service in self.0.iter().filter(|service| only.is_none_or(|only| only == service.name)) {
            let separator = if value.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(value, "{separator}*;+sip.pns=\"{}\"", service.name);
            if let Some(vapid) = &service.vapid {
                let _ = write!(value, ";+sip.vapid=\"{vapid}\"");
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Option<Option<Push>> {
        let uri = format!("sip:anna@192.0.2.1{params}");
        Push::read(&Uri::parse(uri.as_bytes()).unwrap())
    }

    fn woken(provider: &str, prid: &str, param: Option<&str>) -> Option<Option<Push>> {
        let (provider, prid, param) = (provider.into(), prid.into(), param.map(str::to_owned));
        Some(Some(Push::Woken(Target { provider, prid, param })))
    }

    #[test]
    fn a_contact_says_how_its_device_is_woken() {
        for (params, expected) in [
            (";transport=tcp", None),
            (";pn-prid=00fc", None),
            (";pn-provider", Some(Some(Push::Asks(None)))),
            (";pn-provider=apns", Some(Some(Push::Asks(Some("apns".into()))))),
            (";pn-provider=apns;pn-prid=00fc", woken("apns", "00fc", None)),
            (";pn-provider=apns;pn-prid=00fc;pn-param=T.app", woken("apns", "00fc", Some("T.app"))),
            (
                ";pn-provider=webpush;pn-prid=https:%2F%2Fpush.example%2Fa%3Fb%3D1",
                woken("webpush", "https://push.example/a?b=1", None),
            ),
            (";pn-provider=apns;pn-prid", Some(None)),
            (";pn-provider=apns;pn-prid=a%00b", Some(None)),
            (";pn-provider=apns;pn-prid=a%ffb", Some(None)),
        ] {
            assert_eq!(read(params), expected, "{params}");
        }
        let long = "a".repeat(limits::PUSH_PARAM_BYTES_MAX + 1);
        assert_eq!(read(&format!(";pn-provider=apns;pn-prid={long}")), Some(None));
    }

    #[test]
    fn only_services_that_are_there_are_known_and_named() {
        let service = |name: &str, param: Option<&str>, vapid: Option<&str>| Service {
            name: name.into(),
            param: param.map(str::to_owned),
            vapid: vapid.map(str::to_owned),
        };
        let services = Services(vec![service("apns", Some("T.app"), None), service("webpush", None, Some("BK"))]);
        for (provider, param, expected) in [
            ("apns", None, true),
            ("apns", Some("T.app"), true),
            ("apns", Some("T.other"), false),
            ("webpush", Some("any"), true),
            ("acme", None, false),
            ("", None, false),
        ] {
            assert_eq!(services.knows(provider, param), expected, "{provider} {param:?}");
        }
        assert_eq!(services.capabilities(Some("apns")), "*;+sip.pns=\"apns\"");
        let both = "*;+sip.pns=\"apns\", *;+sip.pns=\"webpush\";+sip.vapid=\"BK\"";
        assert_eq!(services.capabilities(None), both);
        assert_eq!(services.capabilities(Some("acme")), "");
    }
}
