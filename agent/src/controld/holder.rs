//! The socket of o2cb_controld. Nothing was ever said on it: an open connection means that somebody builds on the node
//! tree, and that the daemon must stay.

use super::listen::{Peer, Rights};
use crate::desk::Desk;
use proto::control::Ask;
use proto::control::api::response::Answer;
use std::rc::Rc;
use tokio::net::UnixStream;
use tracing::{debug, info, warn};

/// Pins the daemon until the client closes the connection. Only root may; one who speaks is not understood and not held.
pub(super) async fn hold(mut stream: UnixStream, peer: Peer, name: Rc<str>, desk: Rc<Desk>) {
    if peer.rights != Rights::All {
        return debug!(pid = peer.pid, "only root may hold on");
    }
    let Peer { pid, program, .. } = peer;
    let text = format!("{program} (pid {pid}) holds on to {name}, connection {}", desk.new_client().0);
    let set = Ask::Pin { text: text.clone(), node: None };
    if let Answer::Refusal(refusal) = desk.ask(set).await.answer().await {
        return warn!(pid, program, why = refusal.what, "nobody more can hold on");
    }
    info!(pid, program, socket = %name, "somebody holds on");
    let spoke = until_it_ends(&mut stream).await;
    let clear = Ask::Unpin { text, node: None };
    _ = desk.ask(clear).await.answer().await;
    info!(pid, program, socket = %name, spoke, "nobody holds on there any more");
}

/// Whether the client said something, which it must not.
async fn until_it_ends(stream: &mut UnixStream) -> bool {
    let mut one = [0];
    matches!(tokio::io::AsyncReadExt::read(stream, &mut one).await, Ok(1..))
}
