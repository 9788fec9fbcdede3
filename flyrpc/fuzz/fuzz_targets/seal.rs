#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flyrpc::fuzz::seal(bytes));
