//! What a Contact says of how its client is woken (RFC 8599): whether such a service is there, what it is told of the services, and the word to the
//! shell. In REGISTER, and in a SUBSCRIBE as well.
//! Not here: waking anybody (`push`).

use super::identity::bearer;
use super::{Effect, Switch};
use crate::call::Refusal;
use crate::name::Name;
use crate::policy::Proof;
use crate::registrar::{Contacts, DeviceWord, Push, Target, Wanted, Who, Wish};
use crate::secret::Secret;
use crate::sip::wire::Message;
use crate::time::Duration;

impl Switch {
    /// RFC 8599: nothing is kept of a client that wants to be woken by a service that we do not know.
    pub(super) fn check_services(&self, contacts: &Contacts) -> Result<(), Refusal> {
        let is_known = |push: &Push| match push {
            Push::Asks(None) => true,
            Push::Asks(Some(provider)) => self.settings.push.knows(provider, None),
            Push::Woken(Target { provider, param, .. }) => self.settings.push.knows(provider, param.as_deref()),
        };
        let lasting = contacts.each().filter(|wanted| wanted.expires != Some(0));
        match lasting.filter_map(|wanted| wanted.push.as_ref()).all(is_known) {
            true => Ok(()),
            false => {
                let sentence = "no such push service, or not for this application";
                Err(Refusal::warned(555, "push_service_unknown", sentence))
            }
        }
    }

    /// Says who is woken how from now on. The contact lasts as long as it was registered for, and the device for as long as its owner's
    /// credential is good: it sleeps, and cannot register again until it is woken.
    pub(super) fn tell_of_devices(
        &mut self,
        request: &Message<'_>,
        (name, who): (&Name, &Who),
        longest: Duration,
        contacts: &Contacts,
    ) {
        if self.settings.push.is_empty() {
            return;
        }
        let jwt = bearer(request).map(|jwt| String::from_utf8_lossy(jwt).into_owned());
        let subject = who.claims(self.keyring.users()).map(|claims| claims.subject().to_owned());
        let proof = match (jwt, subject) {
            (Some(jwt), _) => Proof::Jwt(Secret::new(jwt)),
            (None, Some(subject)) => Proof::User(subject.into()),
            (None, None) => return,
        };
        let all = matches!(contacts, Contacts::All).then_some(Wish::DropAll);
        let each = contacts.each().filter_map(|wanted| wish(wanted, longest));
        for wish in all.into_iter().chain(each) {
            let word = DeviceWord { name: name.clone(), proof: proof.clone(), wish };
            self.effects.push_back(Effect::Device(Box::new(word)));
        }
    }

    /// RFC 8599: a client that wants to be woken, or asks, is told who can wake it; the value of `Feature-Caps`, or nothing.
    pub(super) fn push_services(&self, request: &Message<'_>) -> String {
        let contacts = Contacts::read(request);
        let named = contacts.iter().flat_map(Contacts::each).find_map(|wanted| wanted.push.as_ref());
        match named {
            None => String::new(),
            Some(Push::Asks(only)) => self.settings.push.capabilities(only.as_deref()),
            Some(Push::Woken(target)) => self.settings.push.capabilities(Some(&target.provider)),
        }
    }
}

/// What a contact says of its device; nothing, if it names neither a service nor itself.
fn wish(wanted: &Wanted, longest: Duration) -> Option<Wish> {
    let instance = wanted.instance.clone();
    let ends = wanted.expires == Some(0);
    match &wanted.push {
        Some(Push::Woken(target)) if ends => Some(Wish::Drop { target: Some(target.clone()), instance }),
        Some(Push::Woken(target)) => Some(Wish::Keep { target: target.clone(), instance, longest }),
        Some(Push::Asks(_)) | None => instance.map(|instance| Wish::Drop { target: None, instance: Some(instance) }),
    }
}
