//! The sockets of the daemons that this one replaces. Tools of a mount ask on ocfs2_controld's before they mount; whoever
//! builds on the node tree holds a connection to o2cb_controld's.
//!
//! `message` is the format, `listen` the door, `client` and `holder` one connection each, `device` looks at the devices that
//! tools name. What is decided, the core decides (`agent_core::mount_client`).

mod client;
mod device;
mod holder;
pub mod listen;
mod message;

use crate::desk::Desk;
use agent_core::ids::ClientId;
use agent_core::mount_client::MountAnswer;
use listen::Places;
use nix::unistd::Gid;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::mpsc;
use tracing::info;

/// Where tools ask.
const OCFS2_SOCKET: &str = "ocfs2_controld_sock";
/// Where somebody holds on.
const O2CB_SOCKET: &str = "o2cb_controld_sock";
/// Tools at a time: each mount that is under way holds a connection.
const TOOLS: Places = Places { all: 192, others: 32 };
/// Who holds on; each takes one of the pins that people may set.
const HOLDERS: Places = Places { all: 24, others: 8 };
/// Answers on their way to one client; it has one question under way, and the answers to what it asked before it closed.
const ANSWERS_MAX: usize = 8;

/// Listens on both. `prefix` stands before the names where a test must not meet a real daemon; `lookers` may ask for
/// lists.
pub(crate) fn open(
    prefix: &str,
    lookers: Option<Gid>,
    desk: &Rc<Desk>,
    counter: &Rc<Counter>,
) -> Result<(), listen::Error> {
    let (tools_name, holders_name) = (format!("{prefix}{OCFS2_SOCKET}"), format!("{prefix}{O2CB_SOCKET}"));
    let (tools, holders) = (listen::bind(&tools_name)?, listen::bind(&holders_name)?);
    info!(tools = tools_name, holders = holders_name, "sockets of ocfs2_controld and o2cb_controld");
    let (desk, counter, lookups) = (desk.clone(), counter.clone(), device::Lookups::default());
    let name: Rc<str> = holders_name.into();
    listen::serve(holders, &HOLDERS, None, {
        let desk = desk.clone();
        move |stream, peer| holder::hold(stream, peer, name.clone(), desk.clone())
    });
    listen::serve(tools, &TOOLS, lookers, move |stream, peer| {
        client::converse(stream, peer, desk.clone(), counter.clone(), lookups.clone())
    });
    Ok(())
}

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
