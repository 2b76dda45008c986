//! See `mailhaul_testkit::fuzz::accounts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| mailhaul_testkit::fuzz::accounts(octets));
