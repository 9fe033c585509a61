//! Any bytes as a session description: no panic, within the bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkway::limits;
use parkway::sdp::{AddressRules, Description};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(description) = Description::parse(bytes) {
        assert!(description.media.len() <= limits::SDP_MEDIA_MAX);
        for media in &description.media {
            assert!(media.formats.len() <= limits::SDP_FORMATS_MAX);
            let _ = media.remote(AddressRules::default());
        }
    }
});
