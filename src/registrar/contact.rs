//! What a REGISTER wants done: its Contacts and their parameters (RFC 3261 §10.2, RFC 5626 §4.1, RFC 8599).
//! Not here: doing it.

use super::Push;
use crate::limits;
use crate::sip::wire::{Header, Message, NameAddr, Scheme};

/// One Contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its URI.
    pub uri: String,
    /// Its own `expires`, else the request's; `None` if neither says.
    pub expires: Option<u32>,
    /// `q` in thousandths; 1000 unless said.
    pub q: u16,
    /// `+sip.instance` with its quotes.
    pub instance: Option<String>,
    /// `reg-id`.
    pub reg_id: Option<u32>,
    /// What it says of push (RFC 8599).
    pub push: Option<Push>,
}

/// All Contacts of a request.
#[derive(PartialEq, Eq, Debug)]
pub enum Contacts {
    /// There is none: the client asks what there is.
    None,
    /// `*`: all are to be removed.
    All,
    /// These.
    Some(Vec<Wanted>),
}

impl Contacts {
    /// Those that are named.
    pub fn each(&self) -> impl Iterator<Item = &Wanted> {
        match self {
            Contacts::None | Contacts::All => [].iter(),
            Contacts::Some(wanted) => wanted.iter(),
        }
    }

    /// Reads them; `None` for what RFC 3261 §10.3 answers with 400: what cannot be read, a `*` beside others or without `Expires: 0`,
    /// and more than a name may have.
    pub fn read(request: &Message<'_>) -> Option<Contacts> {
        let expires = request.number(Header::Expires).and_then(Result::ok);
        let values: Vec<&[u8]> = request.values(Header::Contact).take(limits::BINDINGS_PER_NAME_MAX + 1).collect();
        match values.as_slice() {
            [] => Some(Contacts::None),
            [b"*"] => (expires == Some(0)).then_some(Contacts::All),
            values if values.len() > limits::BINDINGS_PER_NAME_MAX => None,
            values => values.iter().map(|value| wanted(value, expires)).collect::<Option<_>>().map(Contacts::Some),
        }
    }
}

fn wanted(value: &[u8], of_request: Option<u32>) -> Option<Wanted> {
    let address = NameAddr::parse(value).ok()?;
    if !matches!(address.uri.scheme, Scheme::Sip | Scheme::Sips) || value.len() > limits::SIP_CONTACT_BYTES_MAX {
        return None;
    }
    let param = |name| address.param(name).flatten();
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    // §10.2.1.1: an `expires` that cannot be read is as though absent.
    let own = param("expires").and_then(number);
    let q = param("q").and_then(thousandths);
    let instance = param("+sip.instance").filter(|value| !value.contains(&b'\r')).and_then(text);
    let reg_id = param("reg-id").and_then(number).filter(|id| *id > 0);
    let uri = text(address.uri.as_bytes())?;
    let push = match Push::read(&address.uri) {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Wanted { uri, expires: own.or(of_request), q: q.unwrap_or(1000), instance, reg_id, push })
}

fn number(digits: &[u8]) -> Option<u32> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    // RFC 3261 §20.19: below 2^32; what is more is as long as can be.
    is_number
        .then(|| std::str::from_utf8(digits).ok()?.parse::<u64>().ok())?
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// `qvalue`: `0`, `0.5`, `0.123`, `1`, `1.000`.
fn thousandths(value: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let fits = part.len() <= 3 && part.bytes().all(|digit| digit.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| fits)?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}
