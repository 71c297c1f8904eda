//! The ocfs2_controld socket: tools of a mount ask here before they mount.

use agent_core::ids::ClientId;
use agent_core::mount_client::MountAnswer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Answers on their way to one client; it has one question under way, and the answers to what it asked before it closed.
const ANSWERS_MAX: usize = 8;

/// Where the answers to the tools go out.
#[derive(Default)]
pub(crate) struct Counter {
    clients: RefCell<BTreeMap<ClientId, mpsc::Sender<MountAnswer>>>,
}

impl Counter {
    /// Answers of this client come out of the other end.
    pub(crate) fn open(&self, client: ClientId) -> mpsc::Receiver<MountAnswer> {
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        self.clients.borrow_mut().insert(client, sender);
        answers
    }

    /// The connection is closed.
    pub(crate) fn close(&self, client: ClientId) {
        self.clients.borrow_mut().remove(&client);
    }

    /// The core's answer. A client that is gone, or takes none, misses it; that changes nothing.
    pub(crate) fn deliver(&self, client: ClientId, answer: MountAnswer) {
        if let Some(sender) = self.clients.borrow().get(&client) {
            _ = sender.try_send(answer);
        }
    }
}
