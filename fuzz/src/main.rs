//! libFuzzer over the targets of `bbq::fuzzing`: one binary for all, `BBQ_FUZZ_TARGET` says which.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("BBQ_FUZZ_TARGET").expect("BBQ_FUZZ_TARGET names a target");
    bbq::fuzzing::target(&name).unwrap_or_else(|| panic!("{name} is no target of src/fuzzing.rs"))
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
