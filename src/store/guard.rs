//! What reads the state files, kept from taking the process with it: sled panics at some kinds of damage, and that becomes an
//! error like any other, without a trace on standard error.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::ReadError;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Does work that may panic. After a panic the state files must not be used any more.
pub(super) fn guarded<T, E: From<ReadError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    HOOK.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.get() {
                SAID.set(panic.to_string());
            } else {
                told(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    outcome.unwrap_or_else(|_| {
        let said = SAID.take();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(ReadError::State(format!("reading them failed: {said}")).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_where() {
        let outcome: Result<(), ReadError> = guarded(|| panic!("page\n7 is torn"));
        let said = outcome.unwrap_err().to_string();
        assert!(said.contains("page 7 is torn") && said.contains("guard.rs"), "{said}");
        guarded(|| Ok::<_, ReadError>(())).unwrap();
    }
}
