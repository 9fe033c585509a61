//! Any bytes as a session description: no panic, within the bounds.
//! Not here: answers, which are made of two offers (`sim`).

use crate::limits;
use crate::sdp::{AddressRules, Description};

/// A session description.
pub fn sdp(bytes: &[u8]) {
    if let Ok(description) = Description::parse(bytes) {
        assert!(description.media.len() <= limits::SDP_MEDIA_MAX);
        for media in &description.media {
            assert!(media.formats.len() <= limits::SDP_FORMATS_MAX);
            let _ = media.remote(AddressRules::default());
        }
    }
}
