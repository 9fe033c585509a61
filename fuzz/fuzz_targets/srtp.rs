#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parkway::fuzz::srtp(bytes));
