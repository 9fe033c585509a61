//! MESSAGE (RFC 3428): a trunk's goes to the name of its route, a client's to whom it may write to. What is taken is kept until somebody has it,
//! so it gets 202 (§7).
//! Not here: what becomes of it (`mail`, `outgoing`). In a dialog MESSAGE gets 405: a call carries no text.
//!
//! | what comes | what it gets |
//! |---|---|
//! | from somebody who has proved nothing | 401, no larger than what he sent |
//! | content that is encoded, or is no plain text in UTF-8 | 415; 488 for bytes that are no UTF-8 |
//! | no text | 400 |
//! | more than is taken | 413 |
//! | a number of a trunk's that has no route, a user part that is no name | 404 |
//! | policy says no | 403 |
//! | a drain, no room | 503 |

use super::Switch;
use super::admit::called_user;
use super::identity::Identified;
use crate::call::{self, Refusal, Trunk};
use crate::event::{Hearer, TEXT};
use crate::id::LetterId;
use crate::letter::{Letter, Sender};
use crate::limits;
use crate::name::Name;
use crate::policy::{Action, MediaKinds};
use crate::sip::Path;
use crate::sip::wire::{Header, Message};
use crate::time::Now;
use std::sync::Arc;

impl Switch {
    /// Somebody writes.
    pub(super) fn handle_message(&mut self, now: Now, path: Path, request: &Message<'_>) {
        // A client may stand where a trunk does; it says who it is.
        let trunk = self.trunk_of(path).filter(|_| request.header(Header::Authorization).is_none()).cloned();
        let taken = match trunk {
            Some(trunk) => self.letter_of_trunk(now, request, &trunk),
            None => match self.identify(now, request) {
                Ok(identified) => match self.trunk_by_proof(&identified) {
                    Some(trunk) => self.letter_of_trunk(now, request, &trunk),
                    None => self.letter_of_client(now, path, request, &identified),
                },
                Err(refusal) => {
                    tracing::debug!(peer = %path, reason = refusal.id, "a message's sender has to prove who he is");
                    return refusal.write(|reply| self.endpoint.reply(now, path, request, reply));
                }
            },
        };
        match taken {
            Ok(letter) => {
                self.endpoint.reply_known(now, path, request, &call::plain(202));
                self.post(now, letter);
            }
            Err(refusal) => {
                tracing::debug!(peer = %path, status = refusal.status, reason = refusal.id, "a message was refused");
                self.stats.messages.note("refused");
                refusal.write(|reply| self.endpoint.reply_known(now, path, request, reply));
            }
        }
    }

    /// The trunk that is known by the password that was proved.
    fn trunk_by_proof(&self, identified: &Identified) -> Option<Arc<Trunk>> {
        self.settings.trunk_of_user(identified.claims.subject()).filter(|_| identified.once).cloned()
    }

    fn letter_of_trunk(&mut self, now: Now, request: &Message<'_>, trunk: &Trunk) -> Result<Letter, Refusal> {
        let text = self.text_of(request)?;
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let number = trunk.called.apply(called_user(request, &mut buffer).unwrap_or(""));
        let route = self.settings.route_of(&number).cloned();
        let route = route.ok_or_else(|| Refusal::warned(404, "no_route", "this number has no route"))?;
        let (from, sender) = (trunk.author_of(request), Sender::Trunk(Arc::clone(&trunk.name)));
        self.letter(now, route.name.clone(), from, sender, text)
    }

    fn letter_of_client(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        identified: &Identified,
    ) -> Result<Letter, Refusal> {
        let text = self.text_of(request)?;
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let name = called_user(request, &mut buffer).and_then(|user| Name::parse(user).ok());
        let name =
            name.ok_or_else(|| Refusal::warned(404, "no_name", "the user part of the Request-URI is no name"))?;
        self.allow(now, Action::Message, identified, (&name, path))?;
        let (from, sender) =
            (self.author(now, path, request, identified), Sender::Client(identified.claims.subject_hash()));
        self.letter(now, name, from, sender, text)
    }

    /// Under which name a client writes: the one in From, if it is one of its own; else readers see its subject.
    fn author(&self, now: Now, path: Path, request: &Message<'_>, identified: &Identified) -> String {
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let user = request.from().uri.user_unescaped(&mut buffer).and_then(|user| std::str::from_utf8(user).ok());
        let own = user.and_then(|user| Name::parse(user).ok()).filter(|name| {
            let hearer = Hearer { name, claims: &identified.claims, source: Some(path.peer.ip()) };
            self.authority().decide(now, Action::Receive, MediaKinds::NONE, hearer, None).is_ok()
        });
        own.map_or_else(|| identified.claims.subject().to_owned(), |name| name.to_string())
    }

    fn letter(&mut self, now: Now, name: Name, from: String, sender: Sender, text: &str) -> Result<Letter, Refusal> {
        self.mail.letters.room(&name, &sender).map_err(|_| self.busy("cap_messages"))?;
        let (id, from) = (LetterId(self.rng.u128()), from.into());
        Ok(Letter { id, name, from, sender, text: text.into(), at: now.wall, leaves: false })
    }

    /// What a request says, if that can be taken.
    fn text_of<'a>(&self, request: &Message<'a>) -> Result<&'a str, Refusal> {
        if self.draining {
            return Err(self.busy("draining"));
        }
        let is_encoded =
            request.values(Header::ContentEncoding).any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        if is_encoded {
            let refusal = Refusal::warned(415, "encoded", "send it as it is");
            return Err(refusal.with_first("Accept-Encoding", ["identity".to_owned()]));
        }
        if !is_text(request) {
            let refusal = Refusal::warned(415, "message_type", "messages are plain text in UTF-8");
            return Err(refusal.with_first("Accept", [TEXT.to_owned()]));
        }
        match request.body() {
            [] => Err(Refusal::warned(400, "no_text", "there is nothing in it")),
            body if body.len() > limits::MESSAGE_TEXT_BYTES_MAX => {
                Err(Refusal::warned(413, "message_too_large", "the text is too long"))
            }
            body => std::str::from_utf8(body).map_err(|_| Refusal::warned(488, "no_utf8", "the text is not in UTF-8")),
        }
    }
}

/// Plain text, in UTF-8 or ASCII if it says in what.
fn is_text(request: &Message<'_>) -> bool {
    let Some((kind, subkind)) = request.content_type() else { return false };
    let is_plain = kind.eq_ignore_ascii_case(b"text") && subkind.eq_ignore_ascii_case(b"plain");
    let line = String::from_utf8_lossy(request.header(Header::ContentType).unwrap_or_default()).to_ascii_lowercase();
    let charset = line.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("charset="));
    is_plain && charset.is_none_or(|charset| ["utf-8", "us-ascii"].contains(&charset.trim().trim_matches('"')))
}
