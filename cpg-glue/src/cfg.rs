//! libcfg: who we are, the shutdown question, and removing a node. Through rust-corosync.

use std::os::fd::RawFd;

use rust_corosync::DispatchFlags;
use rust_corosync::cfg::{self, Callbacks, ShutdownReply, TrackFlags};

use crate::callbacks::on_shutdown;
use crate::calls::Progress;
use crate::error::{Call, Code, Failure};
use crate::event::Verdict;
use crate::ids::NodeId;
use crate::sys::Dispatched;
use crate::watched::{Handle, dispatched};

/// One connection to the cfg service. A clone is the same connection and does not keep it open.
#[derive(Clone)]
pub(crate) struct Cfg(cfg::Handle);

impl Cfg {
    /// Connects without tracking. Blocks with corosync.
    pub(crate) fn open(progress: &Progress) -> Result<Self, Failure> {
        let callbacks = Callbacks { corosync_cfg_shutdown_callback_fn: Some(on_shutdown) };
        progress.call(Call::CfgInitialize, || cfg::initialize(&callbacks).map_err(Code::from)).map(Self)
    }

    /// From here on corosync asks us before it stops.
    pub(crate) fn track(&self, progress: &Progress) -> Result<(), Failure> {
        let track = || cfg::track_start(&self.0, TrackFlags::None).map_err(Code::from);
        progress.call(Call::CfgTrackstart, track)
    }

    pub(crate) fn local(&self, progress: &Progress) -> Result<NodeId, Failure> {
        let local = || cfg::local_get(&self.0).map_err(Code::from);
        progress.call(Call::CfgLocalGet, local).map(|node| NodeId(node.into()))
    }

    pub(crate) fn answer(&self, verdict: Verdict, progress: &Progress) -> Result<(), Failure> {
        progress.call(Call::CfgReplyToShutdown, || {
            let reply = match verdict {
                Verdict::Yes => ShutdownReply::Yes,
                Verdict::No => ShutdownReply::No,
            };
            cfg::reply_to_shutdown(&self.0, reply).map_err(Code::from)
        })
    }

    pub(crate) fn kill(&self, nodeid: NodeId, reason: &str, progress: &Progress) -> Result<(), Failure> {
        let kill = || cfg::kill_node(&self.0, nodeid.0.into(), reason).map_err(Code::from);
        progress.call(Call::CfgKillNode, kill)
    }
}

impl Handle for Cfg {
    const DISPATCH: Call = Call::CfgDispatch;

    fn fd(&self) -> Result<RawFd, Code> {
        cfg::fd_get(&self.0).map_err(Code::from)
    }

    fn dispatch_one(&mut self) -> Result<Dispatched, Code> {
        dispatched(cfg::dispatch(&self.0, DispatchFlags::OneNonblocking))
    }
}
