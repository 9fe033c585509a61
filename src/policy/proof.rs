//! What somebody has shown of himself, kept so that it can be judged again later, with the keys and users of that moment: whoever is not believed any
//! more by then may nothing any more.
//! Not here: where it is kept, and what is asked of policy then.

use super::{Claims, Keyring, Reason, verify};
use crate::secret::Secret;
use crate::time::Wall;
use std::sync::Arc;

/// How somebody has proved who he is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// With this JWT: it can be shown again.
    Jwt(Secret<String>),
    /// With a password, which is not kept: he is the user of this name, while there is one.
    User(Arc<str>),
}

impl Proof {
    /// Who that is and what he may do now.
    pub fn claims(&self, keyring: &Keyring, now: Wall) -> Result<Claims, Reason> {
        match self {
            Proof::Jwt(jwt) => verify(keyring, now, jwt.expose().as_bytes()),
            Proof::User(name) => {
                keyring.users().find(name).map(|user| user.claims().clone()).ok_or(Reason::PasswordWrong)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Grant, Users};

    #[test]
    fn a_user_who_was_taken_out_is_nobody() {
        let mut users = Users::default();
        users.add("anna", "secret", Grant::default());
        let keyring = Keyring::new("parkway");
        let proof = Proof::User("anna".into());
        assert_eq!(proof.claims(&keyring, Wall(1)), Err(Reason::PasswordWrong));
        let keyring = keyring.with_users(users);
        assert_eq!(proof.claims(&keyring, Wall(1)).map(|claims| claims.subject().to_owned()), Ok("anna".into()));
    }

    #[test]
    fn what_is_no_jwt_proves_nothing() {
        let proof = Proof::Jwt(Secret::new("a.b.c".into()));
        assert!(proof.claims(&Keyring::new("parkway"), Wall(1)).is_err());
        assert!(!format!("{proof:?}").contains("a.b.c"), "and is not printed");
    }
}
