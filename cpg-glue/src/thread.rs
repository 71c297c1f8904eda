//! The owner thread: one thread that dispatches every corosync handle and runs the daemon's loop beside it, so that no
//! event ever crosses a thread.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_local};

use crate::error::Error;

/// Stack of a thread that dispatches. `cpg_dispatch` keeps a buffer of 1 MiB on it without a probe: on a small stack
/// it jumps over the guard page and writes into somebody else's memory. Only touched pages cost anything.
pub const OWNER_STACK_LEN: usize = 8 * 1024 * 1024;

/// Descriptors that one look finds ready at most: more than there can be groups, so that none is left out.
const EVENTS_PER_LOOK: usize = 8192;

/// Runs `main` to its end on a new thread called `name`, with a current-thread runtime and room for local tasks
/// ([`tokio::task::spawn_local`]). [`Glue::start`](crate::Glue::start) works only in there. A panic of `main` goes on
/// in the caller.
pub fn run_on_owner_thread<T, F>(name: &str, main: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: AsyncFnOnce() -> T + Send + 'static,
{
    let failed = |source: io::Error| Error::Thread { name: name.to_owned(), source };
    let runtime = || Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS_PER_LOOK).build();
    let body = move || Ok(run_to_end(&runtime()?, main));
    let owner = thread::Builder::new().name(name.to_owned()).stack_size(OWNER_STACK_LEN).spawn(body);
    match owner.map_err(failed)?.join() {
        Ok(result) => result.map_err(failed),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `main` becomes a local task like the owner loop's: tasks that wake each other run on without a look at the
/// descriptors in between, which the future given to `block_on` would cost.
fn run_to_end<T: 'static>(runtime: &Runtime, main: impl AsyncFnOnce() -> T + 'static) -> T {
    let main = async { spawn_local(async move { main().await }).await };
    match LocalSet::new().block_on(runtime, main) {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than the 2 MiB that std gives to a thread.
    #[inline(never)]
    fn deep() -> usize {
        std::hint::black_box([1_u8; 3 * 1024 * 1024]).len()
    }

    #[test]
    fn the_owner_thread_has_its_name_its_stack_and_local_tasks() {
        let name = run_on_owner_thread("owner-test", async || {
            let local = spawn_local(async { deep() });
            assert_eq!(local.await.unwrap(), 3 * 1024 * 1024);
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(name.unwrap().as_deref(), Some("owner-test"));
    }

    #[test]
    fn a_panic_of_the_daemon_is_not_swallowed() {
        let caught = std::panic::catch_unwind(|| run_on_owner_thread("panics", async || panic!("asked for")));
        assert!(caught.is_err());
    }
}
