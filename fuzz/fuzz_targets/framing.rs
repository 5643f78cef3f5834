//! See `tandem_fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tandem_fuzz::run("framing", input));
