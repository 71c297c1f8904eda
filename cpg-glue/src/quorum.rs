//! libquorum, model 1: quorum with ring ids, and node changes. Through rust-corosync.
//!
//! votequorum is not needed: whether the partition is quorate comes from here, two-node mode and votes from the
//! configuration map.

use std::os::fd::RawFd;

use rust_corosync::quorum::{self, Model1Data, Model1Flags, ModelData};
use rust_corosync::{DispatchFlags, TrackFlags};

use crate::callbacks::{on_nodelist, on_quorum};
use crate::calls::Progress;
use crate::error::{Call, Code, Failure};
use crate::sys::Dispatched;
use crate::watched::{Handle, dispatched};

/// One connection to the quorum service.
pub(crate) struct Quorum(quorum::Handle);

impl Quorum {
    /// Connects and starts tracking; the present state is the first notification. Blocks with corosync.
    pub(crate) fn open(progress: &Progress) -> Result<Self, Failure> {
        let model = ModelData::ModelV1(Model1Data {
            flags: Model1Flags::None,
            quorum_notification_fn: Some(on_quorum),
            nodelist_notification_fn: Some(on_nodelist),
        });
        let initialize = || quorum::initialize(&model, 0).map_err(Code::from);
        let (handle, _) = progress.call(Call::QuorumInitialize, initialize)?;
        // "Changes" alone tells the present state too.
        let track = || quorum::trackstart(&handle, TrackFlags::Changes).map_err(Code::from);
        progress.call(Call::QuorumTrackstart, track)?;
        Ok(Self(handle))
    }

    /// Waits for one notification and takes it. Blocks; needs about 1 MiB of stack.
    pub(crate) fn dispatch_blocking(&self, progress: &Progress) -> Result<(), Failure> {
        let dispatch = || quorum::dispatch(&self.0, DispatchFlags::One).map_err(Code::from);
        progress.call(Call::QuorumDispatch, dispatch)
    }
}

impl Handle for Quorum {
    const DISPATCH: Call = Call::QuorumDispatch;

    fn fd(&self) -> Result<RawFd, Code> {
        quorum::fd_get(&self.0).map_err(Code::from)
    }

    fn dispatch_one(&mut self) -> Result<Dispatched, Code> {
        dispatched(quorum::dispatch(&self.0, DispatchFlags::OneNonblocking))
    }
}
