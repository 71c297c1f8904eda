//! A handle whose descriptor the runtime watches.

use std::io;
use std::os::fd::RawFd;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::callbacks::{Inbox, take_panicked};
use crate::error::{Call, Code, Failure};
use crate::event::Loss;
use crate::sys::{Cpg, Dispatched, Source, watch};

/// A handle of one of corosync's libraries.
pub(crate) trait Handle: Send + 'static {
    /// Its dispatch, for errors.
    const DISPATCH: Call;
    /// The descriptor to watch.
    fn fd(&self) -> Result<RawFd, Code>;
    /// Takes at most one event, without blocking.
    fn dispatch_one(&mut self) -> Result<Dispatched, Code>;
}

impl Handle for Cpg<Inbox> {
    const DISPATCH: Call = Call::CpgDispatch;

    fn fd(&self) -> Result<RawFd, Code> {
        Ok(Cpg::fd(self))
    }

    fn dispatch_one(&mut self) -> Result<Dispatched, Code> {
        Cpg::dispatch_one(self)
    }
}

/// What a dispatch of rust-corosync came to: it calls "nothing there" an error and hides a panic of ours.
pub(crate) fn dispatched(result: Result<(), rust_corosync::CsError>) -> Result<Dispatched, Code> {
    match result.map_err(Code::from) {
        _ if take_panicked() => Ok(Dispatched::Panicked),
        Ok(()) => Ok(Dispatched::One),
        Err(Code::TRY_AGAIN) => Ok(Dispatched::Nothing),
        Err(code) => Err(code),
    }
}

/// The handle, registered. To be taken apart with [`into_handle`](Self::into_handle): dropping it would finalize the
/// handle here, and that can block.
pub(crate) struct Watched<H: Handle>(AsyncFd<Source<H>>);

impl<H: Handle> Watched<H> {
    /// Registers the handle, or gives it back with the reason.
    pub(crate) fn new(handle: H) -> Result<Self, (H, Loss)> {
        let fd = match handle.fd() {
            Ok(fd) => fd,
            Err(code) => return Err((handle, Loss::Corosync(Failure::of(H::DISPATCH, code)))),
        };
        match watch(Source { handle, fd }) {
            Ok(registered) => Ok(Self(registered)),
            Err(error) => {
                let (source, cause) = error.into_parts();
                Err((source.handle, Loss::Watch(cause.to_string())))
            }
        }
    }

    /// Ready when a dispatch may find something.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error of the runtime shows again at the dispatch.
        self.0.poll_read_ready(cx).map(drop)
    }

    /// Takes at most one event. The readiness is given up only when corosync says that nothing is there: the runtime
    /// hears of a descriptor once per change, not while something is left.
    pub(crate) fn dispatch_one(&mut self) -> Result<Dispatched, Loss> {
        let mut failed = None;
        let result = self.0.try_io_mut(Interest::READABLE, |source| match source.handle.dispatch_one() {
            Ok(Dispatched::Nothing) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(dispatched) => Ok(dispatched),
            Err(code) => {
                failed = Some(Loss::Corosync(Failure::of(H::DISPATCH, code)));
                Ok(Dispatched::Nothing)
            }
        });
        match (result, failed) {
            (_, Some(loss)) => Err(loss),
            (Ok(Dispatched::Panicked), _) => Err(Loss::CallbackPanicked(H::DISPATCH)),
            (Ok(dispatched), _) => Ok(dispatched),
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => Ok(Dispatched::Nothing),
            (Err(error), _) => Err(Loss::Watch(error.to_string())),
        }
    }

    pub(crate) fn handle(&self) -> &H {
        &self.0.get_ref().handle
    }

    pub(crate) fn handle_mut(&mut self) -> &mut H {
        &mut self.0.get_mut().handle
    }

    /// Deregisters the descriptor and gives the handle back.
    pub(crate) fn into_handle(self) -> H {
        self.0.into_inner().handle
    }
}
