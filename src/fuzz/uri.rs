//! Any bytes as a URI, as an address with a display name, and as a Via: no panic, and what was accepted reads the same again.
//! Not here: the lines of a message that have them (`message`).

use crate::sip::wire::{NameAddr, Uri, Via};

/// A URI, an address, a Via.
pub fn uri(bytes: &[u8]) {
    let mut buffer = [0; 256];
    if let Ok(uri) = Uri::parse(bytes) {
        check(&uri, &mut buffer);
    }
    if let Ok(address) = NameAddr::parse(bytes) {
        check(&address.uri, &mut buffer);
        if let Some(name) = address.display_unquoted(&mut buffer) {
            assert!(name.len() <= bytes.len());
        }
        assert!(address.tag().is_none_or(|tag| !tag.is_empty() && tag.len() < bytes.len()));
    }
    if let Ok(via) = Via::parse(bytes) {
        assert_eq!(
            Via::parse(via.as_bytes()).map(|again| (again.branch(), again.rport(), again.received())),
            Ok((via.branch(), via.rport(), via.received()))
        );
        assert!(via.sent_by().len() < bytes.len());
    }
}

fn check(uri: &Uri<'_>, buffer: &mut [u8]) {
    assert_eq!(Uri::parse(uri.as_bytes()), Ok(*uri));
    assert!(uri.same(uri));
    if let Some(user) = uri.user_unescaped(buffer) {
        assert!(user.len() <= uri.user.map_or(0, <[u8]>::len));
    }
    for (name, value) in uri.params.iter() {
        assert!(!name.is_empty() && name.len() + value.map_or(0, <[u8]>::len) < uri.as_bytes().len());
    }
}
