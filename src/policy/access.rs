//! JWTs as widely used helper libraries mint them, so that an application's server needs no other: access tokens, and the older capability
//! tokens. What they grant is put into our own [`Claims`]; engines know of one form.
//! Not here: signatures (`jwt`, `keyring`). A key signs tokens of one form, so no token is read in another one than its key's owner meant.
//!
//! ```text
//!  access      {"iss":KEY, "sub":ACCOUNT, "exp":…, "grants":{"identity":"anna", "voice":{"incoming":{"allow":true}, "outgoing":{…}}}}
//!  capability  {"iss":ACCOUNT, "exp":…, "scope":"scope:client:incoming?clientName=anna scope:client:outgoing?appSid=…&appParams=…"}
//! ```

use super::jwt::{NumericDate, Object, Times, is_subject, parse_object, some};
use super::{Application, Claims, Grant, Keyring, Reason};
use crate::name::Name;
use crate::time::Wall;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The `cty` of an access token's header (RFC 7519 §5.2).
pub(super) const CONTENT_TYPE: &str = "twilio-fpa;v=1";

/// The form of the tokens that a key signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// Ours: the member `parkway`.
    Own,
    /// Access tokens: the key's id is their issuer.
    Access {
        /// Whose key it is: their subject.
        account: String,
    },
    /// Capability tokens: the key's id is their issuer, the account.
    Capability,
}

/// What a token of either form says: who, until when, and what for.
pub(super) struct Access {
    identity: String,
    times: Times,
    /// Whether it may be called.
    incoming: bool,
    application: Option<Application>,
}

impl Access {
    /// To be called is to hear of calls for one's name and to answer them. Nothing else can be read from such a token.
    pub(super) fn judge(self, keyring: &Keyring, now: Wall) -> Result<Claims, Reason> {
        let expires = self.times.judge(keyring, now)?;
        let name = Name::parse(&self.identity).map_err(|_| Reason::TokenIdentity)?;
        if !is_subject(&self.identity) {
            return Err(Reason::TokenIdentity);
        }
        let names = if self.incoming { vec![name] } else { Vec::new() };
        let grant = Grant { receive: names.clone(), bridge: names, ..Grant::default() };
        let not_before = self.times.not_before.map(|date| date.0);
        Ok(Claims { subject: self.identity, expires, not_before, grant, application: self.application })
    }
}

/// An access token's payload: `kid` is the key that signed it, `account` whose key that is.
pub(super) fn read(payload: &[u8], kid: &str, account: &str) -> Result<Access, Reason> {
    let payload: AccessPayload<'_> = parse_object(payload).ok_or(Reason::TokenMalformed)?;
    // The key is the issuer's, whatever the header's `kid` says; and an account's tokens are for its own services.
    if payload.iss != kid || payload.sub != account {
        return Err(Reason::TokenWrongAudience);
    }
    let Grants { identity, voice } = payload.grants.0;
    let voice = voice.map(|voice| voice.0).unwrap_or_default();
    let application = voice
        .outgoing
        .map(|Object(Outgoing { application_sid, params })| Application { id: application_sid, parameters: params.0 });
    Ok(Access {
        identity: identity.ok_or(Reason::TokenIdentity)?,
        times: Times { expires: payload.exp, not_before: payload.nbf, issued: payload.iat },
        incoming: voice.incoming.is_some_and(|incoming| incoming.0.allow),
        application,
    })
}

/// A capability token's payload: `kid` is the account whose secret signed it.
pub(super) fn read_capability(payload: &[u8], kid: &str) -> Result<Access, Reason> {
    let payload: CapabilityPayload<'_> = parse_object(payload).ok_or(Reason::TokenMalformed)?;
    if payload.iss != kid {
        return Err(Reason::TokenWrongAudience);
    }
    let scopes = Scopes::parse(&payload.scope).ok_or(Reason::TokenMalformed)?;
    Ok(Access {
        identity: scopes.client.ok_or(Reason::TokenIdentity)?,
        times: Times { expires: payload.exp, not_before: payload.nbf, issued: payload.iat },
        incoming: scopes.incoming,
        application: scopes.application,
    })
}

#[derive(Deserialize)]
struct AccessPayload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    exp: NumericDate,
    #[serde(default, deserialize_with = "some")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "some")]
    iat: Option<NumericDate>,
    grants: Object<Grants>,
}

/// Grants for what we are not (chat, rooms, tasks) are passed over: they allow nothing here.
#[derive(Deserialize)]
struct Grants {
    identity: Option<String>,
    #[serde(default, deserialize_with = "some")]
    voice: Option<Object<Voice>>,
}

#[derive(Default, Deserialize)]
struct Voice {
    #[serde(default, deserialize_with = "some")]
    incoming: Option<Object<Incoming>>,
    #[serde(default, deserialize_with = "some")]
    outgoing: Option<Object<Outgoing>>,
}

#[derive(Deserialize)]
struct Incoming {
    allow: bool,
}

#[derive(Deserialize)]
struct Outgoing {
    application_sid: String,
    #[serde(default)]
    params: Parameters,
}

/// Any object whose members are texts, numbers or truths; `null` is none.
#[derive(Default)]
struct Parameters(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Parameters, D::Error> {
        let members = Option::<BTreeMap<String, serde_json::Value>>::deserialize(from)?.unwrap_or_default();
        let text = |value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        };
        let members = members.into_iter().map(|(name, value)| Some((name, text(value)?)));
        members.collect::<Option<_>>().map(Parameters).ok_or_else(|| D::Error::custom("a parameter is no text"))
    }
}

#[derive(Deserialize)]
struct CapabilityPayload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    exp: NumericDate,
    #[serde(default, deserialize_with = "some")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "some")]
    iat: Option<NumericDate>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
}

/// What the scopes of a capability token come to.
#[derive(Default)]
struct Scopes {
    client: Option<String>,
    incoming: bool,
    application: Option<Application>,
}

impl Scopes {
    /// `scope:SERVICE:PRIVILEGE?PARAMETERS`, with spaces between them. `None`: one says two things, or another client than the one before.
    fn parse(text: &str) -> Option<Scopes> {
        let mut scopes = Scopes::default();
        for scope in text.split(' ') {
            let (what, parameters) = scope.split_once('?').unwrap_or((scope, ""));
            match what {
                "scope:client:incoming" => scopes.add_incoming(&form(parameters)?)?,
                "scope:client:outgoing" => scopes.add_outgoing(&form(parameters)?)?,
                // Event streams and the like: nothing of ours.
                _ => {}
            }
        }
        Some(scopes)
    }

    fn add_incoming(&mut self, parameters: &BTreeMap<String, String>) -> Option<()> {
        self.incoming = true;
        self.set_client(parameters.get("clientName")?)
    }

    fn add_outgoing(&mut self, parameters: &BTreeMap<String, String>) -> Option<()> {
        let id = parameters.get("appSid")?.clone();
        // A query in a query: it was encoded twice.
        let parameters_of_application = form(parameters.get("appParams").map_or("", String::as_str))?;
        let application = Application { id, parameters: parameters_of_application };
        parameters.get("clientName").map_or(Some(()), |client| self.set_client(client))?;
        self.application.replace(application).is_none().then_some(())
    }

    fn set_client(&mut self, client: &str) -> Option<()> {
        (self.client.get_or_insert_with(|| client.to_owned()) == client).then_some(())
    }
}

/// What a form's text says, a space as `+` or `%20`; each name once.
fn form(text: &str) -> Option<BTreeMap<String, String>> {
    let mut members = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if members.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::super::testing::signed_with;
    use super::super::{Algorithm, VerifyingKey, verify};
    use super::*;

    const NOW: Wall = Wall(1_795_000_000_000);
    const SECRET: [u8; 32] = [0x5a; 32];
    const ACCESS: &str = r#"{"alg":"HS256","typ":"JWT","cty":"twilio-fpa;v=1"}"#;
    const PLAIN: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    /// `SK1` signs access tokens of the account `AC1`, which signs capability tokens itself; `own` signs ours.
    fn keyring() -> Keyring {
        let mut keyring = Keyring::new("parkway").with_skew(crate::time::Duration::ZERO);
        let forms = [("SK1", Form::Access { account: "AC1".into() }), ("AC1", Form::Capability), ("own", Form::Own)];
        for (kid, form) in forms {
            keyring.add(kid, VerifyingKey::new(Algorithm::Hs256, &SECRET).unwrap().with_form(form)).unwrap();
        }
        keyring
    }

    fn verified(header: &str, payload: &str) -> Result<Claims, Reason> {
        verify(&keyring(), NOW, signed_with(&SECRET, header, payload).as_bytes())
    }

    fn access(grants: &str) -> String {
        format!(r#"{{"jti":"SK1-1","iss":"SK1","sub":"AC1","iat":1794999999,"exp":1795000060,"grants":{grants}}}"#)
    }

    fn capability(scope: &str) -> String {
        format!(r#"{{"iss":"AC1","exp":1795000060,"scope":"{scope}"}}"#)
    }

    fn of_application(id: &str, parameters: &[(&str, &str)]) -> Option<Application> {
        let parameters = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Some(Application { id: id.into(), parameters })
    }

    /// `anna` and nobody else, reached under her identity or not, with that application.
    fn check(claims: Result<Claims, Reason>, called: bool, application: Option<Application>, rule: &str) {
        let claims = claims.unwrap_or_else(|reason| panic!("{rule}: {reason}"));
        let names = if called { vec![Name::parse("anna").unwrap()] } else { Vec::new() };
        let grant = Grant { receive: names.clone(), bridge: names, ..Grant::default() };
        assert_eq!((claims.subject(), claims.grant()), ("anna", &grant), "{rule}");
        assert_eq!((claims.application(), claims.expires()), (application.as_ref(), Wall(1_795_000_060_000)), "{rule}");
    }

    #[test]
    fn an_access_token_lets_its_identity_be_called_and_names_the_application_of_its_own_calls() {
        for (grants, called, application, rule) in [
            (r#"{"identity":"anna","voice":{"incoming":{"allow":true}}}"#, true, None, "to be called"),
            (r#"{"identity":"anna","voice":{"incoming":{"allow":false}}}"#, false, None, "not to be called"),
            (r#"{"identity":"anna","voice":{}}"#, false, None, "nothing said"),
            (r#"{"identity":"anna"}"#, false, None, "no voice"),
            (
                r#"{"identity":"anna","chat":{"service_sid":"IS1"},"voice":{"push_credential_sid":"CR1","incoming":{"allow":true}}}"#,
                true,
                None,
                "grants for what we are not",
            ),
            (
                r#"{"identity":"anna","voice":{"outgoing":{"application_sid":"AP1","params":{"room":"a b&c","n":7,"on":true}}}}"#,
                false,
                of_application("AP1", &[("n", "7"), ("on", "true"), ("room", "a b&c")]),
                "calls of its own",
            ),
            (
                r#"{"identity":"anna","voice":{"outgoing":{"application_sid":"AP1","params":null}}}"#,
                false,
                of_application("AP1", &[]),
                "without parameters",
            ),
        ] {
            check(verified(ACCESS, &access(grants)), called, application, rule);
        }
    }

    #[test]
    fn an_access_token_is_its_keys_and_its_accounts() {
        let good = access(r#"{"identity":"anna","voice":{"incoming":{"allow":true}}}"#);
        let (malformed, audience) = (Some(Reason::TokenMalformed), Some(Reason::TokenWrongAudience));
        let with_kid = |kid| format!(r#"{{"alg":"HS256","kid":"{kid}","cty":"twilio-fpa;v=1"}}"#);
        let other_version = ACCESS.replace("v=1", "v=2");
        for (header, payload, expected, rule) in [
            (ACCESS, good.clone(), None, "as it is minted"),
            (&with_kid("SK1"), good.clone(), None, "which may say its key in the header too"),
            (&with_kid("SK1"), good.replace("\"SK1\"", "\"SK2\""), audience, "but not another one than its issuer"),
            (&with_kid("AC1"), good.clone(), malformed, "nor a key for tokens of another form"),
            (&with_kid("own"), good.clone(), audience, "nor one of ours"),
            (ACCESS, good.replace("AC1", "AC2"), audience, "another account"),
            (ACCESS, good.replace("\"SK1\"", "\"SK2\""), audience, "an issuer that is not ours"),
            (PLAIN, good.clone(), malformed, "no content type"),
            (&other_version, good.clone(), malformed, "another content type"),
            (ACCESS, good.replace("1795000060", "1795000000"), Some(Reason::TokenExpired), "expired"),
            (ACCESS, good.replace("1794999999", "1795000001"), Some(Reason::TokenNotYetValid), "not yet valid"),
            (ACCESS, good.replace("\"exp\":1795000060,", ""), malformed, "good for ever"),
            (ACCESS, access(r#"{"identity":"anna","voice":{"incoming":{"allow":"yes"}}}"#), malformed, "not a truth"),
            (ACCESS, access(r#"{"identity":"anna","voice":null}"#), malformed, "null is no grant"),
            (ACCESS, access(r#"[]"#), malformed, "an array is none either"),
            (
                ACCESS,
                access(r#"{"identity":"anna","voice":{"outgoing":{"application_sid":"A","params":{"a":[]}}}}"#),
                malformed,
                "a list is no parameter",
            ),
            (ACCESS, access(r#"{"voice":{"incoming":{"allow":true}}}"#), Some(Reason::TokenIdentity), "for nobody"),
            (ACCESS, access(r#"{"identity":"anna b"}"#), Some(Reason::TokenIdentity), "an identity that is no name"),
            (ACCESS, access(r#"{"identity":""}"#), Some(Reason::TokenIdentity), "an empty one"),
        ] {
            assert_eq!(verified(header, &payload).err(), expected, "{rule}");
        }
    }

    #[test]
    fn neither_form_is_taken_unsigned_or_with_another_keys_algorithm() {
        let payloads = [access(r#"{"identity":"anna"}"#), capability("scope:client:incoming?clientName=anna")];
        for (payload, cty) in payloads.iter().zip([r#","cty":"twilio-fpa;v=1""#, ""]) {
            for algorithm in ["none", "RS256", "ES256", "HS384", "HS512"] {
                let header = format!(r#"{{"alg":"{algorithm}"{cty}}}"#);
                assert_eq!(verified(&header, payload).err(), Some(Reason::TokenAlgorithm), "{header}");
            }
            let header = format!(r#"{{"alg":"HS256"{cty}}}"#);
            let forged = signed_with(&[1; 32], &header, payload);
            assert_eq!(verify(&keyring(), NOW, forged.as_bytes()).err(), Some(Reason::TokenBadSignature));
            let (unsigned, _) = forged.rsplit_once('.').unwrap();
            assert_eq!(
                verify(&keyring(), NOW, format!("{unsigned}.").as_bytes()).err(),
                Some(Reason::TokenBadSignature)
            );
        }
    }

    #[test]
    fn a_capability_tokens_scopes_are_read_with_both_ways_to_write_a_space() {
        let incoming = "scope:client:incoming?clientName=anna";
        for (scope, called, application, rule) in [
            (incoming.to_owned(), true, None, "to be called"),
            (
                format!(
                    "scope:client:outgoing?appSid=AP1&clientName=anna&appParams=foo%3Db%2520ar%2526z%253D {incoming}"
                ),
                true,
                of_application("AP1", &[("foo", "b ar&z=")]),
                "%20, encoded twice",
            ),
            (
                format!("{incoming} scope:client:outgoing?appParams=foo%3Db%2Bar%2526z%253D%26n%3D1&appSid=AP1"),
                true,
                of_application("AP1", &[("foo", "b ar&z="), ("n", "1")]),
                "+, encoded twice",
            ),
            (
                "scope:client:outgoing?appSid=AP1&clientName=anna".into(),
                false,
                of_application("AP1", &[]),
                "calls of its own alone",
            ),
            (format!("{incoming} scope:stream:subscribe?path=/x&a=1 what?"), true, None, "scopes for what we are not"),
        ] {
            check(verified(PLAIN, &capability(&scope)), called, application, rule);
        }
    }

    #[test]
    fn a_capability_token_says_one_thing() {
        let (malformed, nobody) = (Some(Reason::TokenMalformed), Some(Reason::TokenIdentity));
        for (scope, expected, rule) in [
            ("", nobody, "for nobody"),
            ("scope:client:outgoing?appSid=AP1", nobody, "calls of nobody's"),
            ("scope:client:incoming?clientName=anna+b", nobody, "no name"),
            ("scope:client:incoming", malformed, "called without a name"),
            ("scope:client:outgoing?clientName=anna", malformed, "calls for no application"),
            ("scope:client:incoming?clientName=anna scope:client:incoming?clientName=ben", malformed, "two clients"),
            ("scope:client:incoming?clientName=anna&clientName=ben", malformed, "two in one"),
            (
                "scope:client:incoming?clientName=anna scope:client:outgoing?appSid=A&clientName=ben",
                malformed,
                "one and another",
            ),
            (
                "scope:client:outgoing?appSid=A&clientName=anna scope:client:outgoing?appSid=B&clientName=anna",
                malformed,
                "two applications",
            ),
        ] {
            assert_eq!(verified(PLAIN, &capability(scope)).err(), expected, "{rule}");
        }
        let other = capability("scope:client:incoming?clientName=anna").replace("AC1", "SK1");
        assert_eq!(verified(PLAIN, &other).err(), malformed, "the key of access tokens signs no other form");
    }
}
