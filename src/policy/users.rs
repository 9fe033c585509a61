//! Users with a password: telephones that cannot carry a JWT. Each has a grant of the same form, so policy is asked about them in the
//! same way.
//! Not here: how a password is proved (`sip::auth`), and where users are written down (`config`).

use super::{Claims, Grant};
use crate::sip::auth::{Algorithm, Secrets};
use crate::time::Wall;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who proved himself.
#[derive(Clone, Debug)]
pub enum Who {
    /// The bearer of a JWT, with what it said.
    Bearer(Arc<Claims>),
    /// A user with a password: what he may do is looked up each time, so that he is nobody once he is taken out.
    User(Arc<str>),
}

impl Who {
    /// What he may do now.
    pub fn claims<'c>(&'c self, users: &'c Users) -> Option<&'c Claims> {
        match self {
            Who::Bearer(claims) => Some(claims),
            Who::User(name) => users.find(name).map(|user| user.claims()),
        }
    }
}

/// The digest realm of this service and who is in it. Replaced whole on reload, as part of the [`Keyring`](super::Keyring).
#[derive(Clone, Debug)]
pub struct Users {
    realm: String,
    algorithms: Vec<Algorithm>,
    by_name: BTreeMap<String, User>,
}

/// One user.
#[derive(Clone, Debug)]
pub struct User {
    secrets: Secrets,
    claims: Claims,
}

impl Default for Users {
    fn default() -> Users {
        Users::new("parkway", &[Algorithm::Sha256, Algorithm::Md5])
    }
}

impl Users {
    /// A realm without users, and the algorithms that it offers, the most wanted first.
    pub fn new(realm: &str, algorithms: &[Algorithm]) -> Users {
        Users { realm: realm.to_owned(), algorithms: algorithms.to_vec(), by_name: BTreeMap::new() }
    }

    /// Adds a user, in place of one of the same name. The name is also his subject: a JWT with the same `sub` is the same client.
    pub fn add(&mut self, name: &str, password: &str, grant: Grant) {
        let secrets = Secrets::new(name, &self.realm, password);
        let claims = Claims { subject: name.to_owned(), expires: NEVER, not_before: None, grant, application: None };
        self.by_name.insert(name.to_owned(), User { secrets, claims });
    }

    /// What `realm` says in challenges of any scheme.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// What is offered: nothing while there are no users.
    pub fn algorithms(&self) -> &[Algorithm] {
        if self.by_name.is_empty() { &[] } else { &self.algorithms }
    }

    /// A user, by the name to the letter.
    pub fn find(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }
}

/// A user is one until the operator takes him out.
const NEVER: Wall = Wall(u64::MAX);

impl User {
    /// What his proofs are judged by.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Who he is and what he may do, once the proof was good.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_without_users_asks_for_no_password() {
        let mut users = Users::default();
        assert!(users.algorithms().is_empty() && users.find("bob").is_none());
        users.add("bob", "secret", Grant { dial: true, ..Grant::default() });
        assert_eq!(users.algorithms(), [Algorithm::Sha256, Algorithm::Md5]);
        let claims = users.find("bob").unwrap().claims();
        assert_eq!((claims.subject(), claims.grant().dial), ("bob", true));
        assert!(users.find("Bob").is_none() && users.find("").is_none());
    }
}
