//! Any bytes as a SIP message: no panic, and what was accepted can be read to the end, the parts of its body included.
//! Not here: what a message means to a dialog (`endpoint`).

use crate::sip::wire::Message;

/// A SIP message, and all views of it.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        let lists = message.vias().count() + message.contacts().count() + message.routes().count();
        let own = message.bytes().len() + message.body().len();
        assert!(message.description().len() <= message.body().len(), "a part is never larger than the whole");
        assert!(own <= 2 * bytes.len() && lists <= bytes.len(), "a view is never larger than what it views");
    }
}
