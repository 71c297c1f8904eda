//! The dozen calls of libcpg that rust-corosync cannot serve, and watching descriptors that a C library owns: the only
//! unsafe file of the project.
//!
//! What is safe about it, call by call:
//! * A [`Cpg`] owns its sink in a `Box` whose address is the handle's context. libcpg calls back only inside
//!   `cpg_dispatch`, which needs `&mut Cpg`; so nobody else holds the sink while a callback has it.
//! * Trampolines trust nothing: lengths are clamped to what the C structures can hold, null lists are empty, and a
//!   panic of the sink stops there and is remembered.
//! * `cpg_finalize` is called once, by `Drop`. A [`Leave`] that outlives it gets `BAD_HANDLE` from libqb's checked table.
//!
//! Source: corosync/cpg.h and lib/cpg.c of corosync 3.1.7, lib/ipcc.c of libqb 2.0.6.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdRegisterError};

use crate::error::Code;
use crate::ids::{Member, NodeId, RawName, RingId};

/// `CPG_MEMBERS_MAX`: no list of a callback has room for more.
pub const MEMBERS_MAX: usize = 128;
/// `CPG_MAX_NAME_LENGTH`.
const NAME_LEN_MAX: usize = 128;
/// Entries of one iteration over all groups of the cluster that are read before it is given up.
const ITERATION_MAX: usize = 65_536;

const MODEL_V1: c_uint = 1;
const DELIVER_INITIAL_TOTEM_CONF: c_uint = 1;
const TYPE_AGREED: c_uint = 2;
const DISPATCH_ONE_NONBLOCKING: c_uint = 4;
const ITERATION_ALL: c_uint = 3;

/// `struct cpg_name`: length u32, value 128 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Name {
    length: u32,
    value: [u8; NAME_LEN_MAX],
}

/// `struct cpg_address`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) nodeid: u32,
    pub(crate) pid: u32,
    pub(crate) reason: u32,
}

/// `struct cpg_ring_id`, passed by value: nodeid u32, 4 bytes of padding, seq u64.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ring {
    nodeid: u32,
    seq: u64,
}

/// `struct cpg_iteration_description_t`.
#[repr(C)]
struct Description {
    group: Name,
    nodeid: u32,
    pid: u32,
}

type DeliverFn = extern "C" fn(u64, *const Name, u32, u32, *mut c_void, usize);
type ConfchgFn = extern "C" fn(u64, *const Name, *const Address, usize, *const Address, usize, *const Address, usize);
type TotemFn = extern "C" fn(u64, Ring, u32, *const u32);

/// `cpg_model_v1_data_t`.
#[repr(C)]
struct ModelV1 {
    model: c_uint,
    deliver: DeliverFn,
    confchg: ConfchgFn,
    totem: TotemFn,
    flags: c_uint,
}

#[link(name = "cpg")]
unsafe extern "C" {
    fn cpg_model_initialize(handle: *mut u64, model: c_uint, data: *mut ModelV1, context: *mut c_void) -> u32;
    fn cpg_finalize(handle: u64) -> u32;
    fn cpg_fd_get(handle: u64, fd: *mut c_int) -> u32;
    fn cpg_context_get(handle: u64, context: *mut *mut c_void) -> u32;
    fn cpg_dispatch(handle: u64, flags: c_uint) -> u32;
    fn cpg_join(handle: u64, group: *const Name) -> u32;
    fn cpg_leave(handle: u64, group: *const Name) -> u32;
    fn cpg_mcast_joined(handle: u64, guarantee: c_uint, iov: *const libc::iovec, iov_len: c_uint) -> u32;
    fn cpg_iteration_initialize(handle: u64, kind: c_uint, group: *const Name, iteration: *mut u64) -> u32;
    fn cpg_iteration_next(iteration: u64, description: *mut Description) -> u32;
    fn cpg_iteration_finalize(iteration: u64) -> u32;
}

/// What a callback carries, while it runs.
#[derive(Debug)]
pub(crate) enum Raw<'a> {
    Message { group: &'a [u8], from: Member, bytes: &'a [u8] },
    View { group: &'a [u8], members: List<'a>, left: List<'a>, joined: List<'a> },
    Ring { ring: RingId, members: &'a [u32] },
}

/// A list of a confchg, cut to what it can hold, and how long it claimed to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    pub(crate) entries: &'a [Address],
    pub(crate) claimed: usize,
}

/// Takes what the callbacks carry. Runs inside the C callback: copy and return.
pub(crate) trait Sink: Send {
    fn take(&mut self, raw: Raw<'_>);
}

/// A sink, and whether it has ever panicked.
struct Guarded<S> {
    sink: S,
    panicked: bool,
}

/// One connection to corosync's CPG service: joins one group in its life.
pub(crate) struct Cpg<S: Sink> {
    handle: u64,
    fd: RawFd,
    guarded: *mut Guarded<S>,
}

// SAFETY: the sink is Send and owned by this value alone; libcpg's handles may be used from any thread, and &self
// methods only enqueue or read what libqb guards itself.
unsafe impl<S: Sink> Send for Cpg<S> {}

/// A `cpg_leave` to be called on another thread.
#[derive(Clone, Copy)]
pub(crate) struct Leave {
    handle: u64,
    name: Name,
}

/// What one dispatch came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dispatched {
    /// One event was taken; there may be more.
    One,
    /// Nothing was there.
    Nothing,
    /// The sink panicked; what the callback carried is lost.
    Panicked,
}

impl<S: Sink> Cpg<S> {
    /// Connects. Blocks as long as corosync is stopped.
    pub(crate) fn open(sink: S) -> Result<Self, Code> {
        let mut model = ModelV1 {
            model: MODEL_V1,
            deliver: deliver::<S>,
            confchg: confchg::<S>,
            totem: totem::<S>,
            flags: DELIVER_INITIAL_TOTEM_CONF,
        };
        let guarded = Box::into_raw(Box::new(Guarded { sink, panicked: false }));
        let (mut handle, mut fd) = (0, -1);
        // SAFETY: all pointers are valid for the call; libcpg copies the model and keeps the context as a number.
        let opened = unsafe { cpg_model_initialize(&mut handle, MODEL_V1, &mut model, guarded.cast()) };
        if let Err(code) = Code(opened).ok() {
            // SAFETY: made above, and libcpg has no handle that could lead to it.
            drop(unsafe { Box::from_raw(guarded) });
            return Err(code);
        }
        let mut cpg = Self { handle, fd, guarded };
        // SAFETY: fd is valid for the call.
        Code(unsafe { cpg_fd_get(handle, &mut fd) }).ok()?;
        cpg.fd = fd;
        Ok(cpg)
    }

    /// The descriptor to watch. libqb owns it until this value is dropped.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// What the callbacks fill.
    pub(crate) fn sink_mut(&mut self) -> &mut S {
        // SAFETY: valid from open to drop; &mut self excludes a running dispatch.
        unsafe { &mut (*self.guarded).sink }
    }

    /// Asks to join. Blocks as long as corosync is stopped.
    pub(crate) fn join(&mut self, group: &[u8]) -> Result<(), Code> {
        let name = Name::of(group);
        // SAFETY: the name is valid for the call.
        Code(unsafe { cpg_join(self.handle, &name) }).ok()
    }

    /// A leave that another thread can call while this one goes on dispatching.
    pub(crate) fn leave(&self, group: &[u8]) -> Leave {
        Leave { handle: self.handle, name: Name::of(group) }
    }

    /// Takes at most one event. Never blocks; needs about 1 MiB of stack.
    pub(crate) fn dispatch_one(&mut self) -> Result<Dispatched, Code> {
        // SAFETY: the handle is open, and &mut self keeps everybody else away from the sink.
        let code = Code(unsafe { cpg_dispatch(self.handle, DISPATCH_ONE_NONBLOCKING) });
        // SAFETY: valid from open to drop, and no callback is running any more.
        if std::mem::take(unsafe { &mut (*self.guarded).panicked }) {
            return Ok(Dispatched::Panicked);
        }
        match code {
            Code::OK => Ok(Dispatched::One),
            Code::TRY_AGAIN => Ok(Dispatched::Nothing),
            other => Err(other),
        }
    }

    /// Whether libqb could send its one-byte wake-up now. When corosync does not read them, libqb does not say so but
    /// spins inside the call, at 100 % CPU and for as long as corosync is stopped.
    pub(crate) fn writable(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid entry, and a time-out of zero.
        let ready = unsafe { libc::poll(&mut poll, 1, 0) };
        ready == 1 && poll.revents & libc::POLLOUT != 0
    }

    /// Multicasts the parts as one message. Does not block for messages up to
    /// [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX) while [`writable`](Self::writable) holds.
    pub(crate) fn multicast(&self, parts: &[IoSlice<'_>]) -> Result<(), Code> {
        let count = c_uint::try_from(parts.len()).map_err(|_| Code(7))?;
        // SAFETY: IoSlice is promised to have the layout of iovec; libqb only reads it, during the call.
        Code(unsafe { cpg_mcast_joined(self.handle, TYPE_AGREED, parts.as_ptr().cast(), count) }).ok()
    }

    /// Every member of every group of the cluster, in corosync's order. Blocks as long as corosync is stopped.
    pub(crate) fn everybody(&self) -> Result<Vec<(RawName, Member)>, Code> {
        let iteration = Iteration::open(self.handle)?;
        let mut found = Vec::new();
        while let Some(entry) = iteration.next()? {
            found.push(entry);
            if found.len() >= ITERATION_MAX {
                break;
            }
        }
        Ok(found)
    }
}

impl<S: Sink> Drop for Cpg<S> {
    /// Blocks as long as corosync is stopped.
    fn drop(&mut self) {
        // SAFETY: called once; libcpg frees its side even when corosync is dead and the call fails. After it no
        // callback can run, so the sink can go.
        unsafe {
            cpg_finalize(self.handle);
            drop(Box::from_raw(self.guarded));
        }
    }
}

impl Leave {
    /// Asks to leave. Blocks as long as corosync is stopped, and spins if our own join is not yet delivered.
    pub(crate) fn call(&self) -> Result<(), Code> {
        // SAFETY: the name is valid for the call; a handle that is gone is refused.
        Code(unsafe { cpg_leave(self.handle, &self.name) }).ok()
    }
}

/// A handle of one of corosync's libraries, and the descriptor that the library gave for it.
pub(crate) struct Source<H> {
    pub(crate) handle: H,
    pub(crate) fd: RawFd,
}

impl<H> AsRawFd for Source<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

/// Lets the runtime watch a source for something to read.
pub(crate) fn watch<H>(source: Source<H>) -> Result<AsyncFd<Source<H>>, AsyncFdRegisterError<Source<H>>> {
    // SAFETY: libqb closes the descriptor in the library's finalize and nowhere else, also when corosync has died; that
    // takes the handle, which stays inside the AsyncFd until it is deregistered.
    unsafe { AsyncFd::register_with_interest(source, Interest::READABLE) }
}

/// An iteration that corosync keeps until it is closed.
struct Iteration(u64);

impl Iteration {
    fn open(handle: u64) -> Result<Self, Code> {
        let mut iteration = 0;
        // SAFETY: the group may be null for this kind; the result is valid for the call.
        Code(unsafe { cpg_iteration_initialize(handle, ITERATION_ALL, ptr::null(), &mut iteration) }).ok()?;
        Ok(Self(iteration))
    }

    fn next(&self) -> Result<Option<(RawName, Member)>, Code> {
        let mut found = Description { group: Name::EMPTY, nodeid: 0, pid: 0 };
        // SAFETY: the result is valid for the call.
        match Code(unsafe { cpg_iteration_next(self.0, &mut found) }) {
            Code::OK => {
                let member = Member { nodeid: NodeId(found.nodeid), pid: found.pid };
                Ok(Some((RawName(found.group.bytes().to_vec()), member)))
            }
            Code::NO_SECTIONS => Ok(None),
            other => Err(other),
        }
    }
}

impl Drop for Iteration {
    fn drop(&mut self) {
        // SAFETY: closed once.
        unsafe { cpg_iteration_finalize(self.0) };
    }
}

impl Name {
    const EMPTY: Self = Self { length: 0, value: [0; NAME_LEN_MAX] };

    /// A name that [`GroupName`](crate::GroupName) has checked; anything longer is cut.
    fn of(group: &[u8]) -> Self {
        let mut name = Self::EMPTY;
        let length = group.len().min(NAME_LEN_MAX);
        name.value[..length].copy_from_slice(&group[..length]);
        name.length = u32::try_from(length).unwrap_or(0);
        name
    }

    /// The bytes by their length; NUL has no meaning.
    fn bytes(&self) -> &[u8] {
        &self.value[..(self.length as usize).min(NAME_LEN_MAX)]
    }
}

/// # Safety
/// `entries` is null or points to `count` values that outlive the callback.
unsafe fn list<'a, T>(entries: *const T, count: usize) -> &'a [T] {
    if entries.is_null() { &[] } else { unsafe { slice::from_raw_parts(entries, count) } }
}

/// # Safety
/// As [`list`], where no more than [`MEMBERS_MAX`] entries exist whatever `claimed` says.
unsafe fn addresses<'a>(entries: *const Address, claimed: usize) -> List<'a> {
    List { entries: unsafe { list(entries, claimed.min(MEMBERS_MAX)) }, claimed }
}

/// # Safety
/// `name` is null or valid during the callback.
unsafe fn group<'a>(name: *const Name) -> &'a [u8] {
    if name.is_null() { &[] } else { unsafe { (*name).bytes() } }
}

/// The sink of a handle, through its context.
fn guarded_of<S>(handle: u64) -> *mut Guarded<S> {
    let mut context = ptr::null_mut();
    // SAFETY: the result is valid for the call; a strange handle is refused.
    let code = unsafe { cpg_context_get(handle, &mut context) };
    if Code(code) == Code::OK { context.cast() } else { ptr::null_mut() }
}

/// Gives `raw` to the sink and keeps a panic from reaching C.
///
/// # Safety
/// `guarded` is null or the context of an open [`Cpg<S>`] that is being dispatched.
unsafe fn give<S: Sink>(guarded: *mut Guarded<S>, raw: Raw<'_>) {
    if let Some(guarded) = unsafe { guarded.as_mut() } {
        let taken = catch_unwind(AssertUnwindSafe(|| guarded.sink.take(raw)));
        guarded.panicked |= taken.is_err();
    }
}

extern "C" fn deliver<S: Sink>(
    handle: u64,
    name: *const Name,
    nodeid: u32,
    pid: u32,
    message: *mut c_void,
    len: usize,
) {
    let from = Member { nodeid: NodeId(nodeid), pid };
    // SAFETY: called by libcpg with pointers into its event buffer.
    unsafe {
        let raw = Raw::Message { group: group(name), from, bytes: list(message.cast(), len) };
        give(guarded_of::<S>(handle), raw);
    }
}

#[allow(clippy::too_many_arguments)] // the signature is libcpg's
extern "C" fn confchg<S: Sink>(
    handle: u64,
    name: *const Name,
    members: *const Address,
    members_len: usize,
    left: *const Address,
    left_len: usize,
    joined: *const Address,
    joined_len: usize,
) {
    // SAFETY: called by libcpg with its own arrays of MEMBERS_MAX entries.
    unsafe {
        let raw = Raw::View {
            group: group(name),
            members: addresses(members, members_len),
            left: addresses(left, left_len),
            joined: addresses(joined, joined_len),
        };
        give(guarded_of::<S>(handle), raw);
    }
}

extern "C" fn totem<S: Sink>(handle: u64, ring: Ring, members_len: u32, members: *const u32) {
    let ring = RingId { nodeid: NodeId(ring.nodeid), seq: ring.seq };
    // SAFETY: called by libcpg with a pointer into its event buffer, of at most MEMBERS_MAX entries.
    unsafe {
        let members = list(members, (members_len as usize).min(MEMBERS_MAX));
        give(guarded_of::<S>(handle), Raw::Ring { ring, members });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it was given; panics on a message that says so.
    #[derive(Default)]
    struct Kept {
        names: Vec<Vec<u8>>,
        lens: Vec<(usize, usize)>,
        bytes: Vec<Vec<u8>>,
    }

    impl Sink for Kept {
        fn take(&mut self, raw: Raw<'_>) {
            match raw {
                Raw::Message { group, bytes, .. } => {
                    assert_ne!(bytes, b"panic", "asked for");
                    self.names.push(group.to_vec());
                    self.bytes.push(bytes.to_vec());
                }
                Raw::View { members, left, joined, .. } => {
                    self.lens.extend([members, left, joined].map(|l| (l.entries.len(), l.claimed)));
                }
                Raw::Ring { members, .. } => self.lens.push((members.len(), members.len())),
            }
        }
    }

    fn fake() -> Guarded<Kept> {
        Guarded { sink: Kept::default(), panicked: false }
    }

    fn message<'a>(group: &'a [u8], bytes: &'a [u8]) -> Raw<'a> {
        Raw::Message { group, from: Member { nodeid: NodeId(1), pid: 1 }, bytes }
    }

    #[test]
    fn the_structures_have_the_sizes_of_cpg_h() {
        assert_eq!((size_of::<Name>(), size_of::<Address>(), size_of::<Ring>()), (132, 12, 16));
        assert_eq!((size_of::<Description>(), size_of::<ModelV1>()), (140, 40));
        assert_eq!(size_of::<IoSlice<'_>>(), size_of::<libc::iovec>());
    }

    #[test]
    fn a_list_of_200_is_cut_to_the_128_that_exist() {
        let entries = [Address { nodeid: 1, pid: 2, reason: 3 }; MEMBERS_MAX];
        let cut = unsafe { addresses(entries.as_ptr(), 200) };
        assert_eq!((cut.entries.len(), cut.claimed), (128, 200));
    }

    #[test]
    fn null_lists_and_names_are_empty() {
        unsafe {
            assert!(list::<u32>(ptr::null(), 7).is_empty());
            assert!(addresses(ptr::null(), 7).entries.is_empty());
            assert!(group(ptr::null()).is_empty());
        }
    }

    #[test]
    fn a_name_is_its_length_not_its_nul_and_never_more_than_its_array() {
        let mut name = Name::of(b"x");
        name.length = 2;
        assert_eq!(unsafe { group(&name) }, b"x\0");
        let full = Name { length: 128, value: [b'n'; 128] };
        assert_eq!(unsafe { group(&full) }, [b'n'; 128]);
        let lying = Name { length: u32::MAX, value: [b'n'; 128] };
        assert_eq!(unsafe { group(&lying) }.len(), 128);
    }

    #[test]
    fn a_panic_stops_at_the_trampoline_and_the_next_callback_works() {
        let mut fake = fake();
        std::panic::set_hook(Box::new(|_| {}));
        unsafe { give(&mut fake, message(b"g", b"panic")) };
        let _ = std::panic::take_hook();
        assert!(fake.panicked);
        unsafe { give(&mut fake, message(b"g\0", b"next")) };
        assert_eq!((fake.sink.names, fake.sink.bytes), (vec![b"g\0".to_vec()], vec![b"next".to_vec()]));
    }

    #[test]
    fn a_callback_of_an_unknown_handle_is_dropped() {
        unsafe { give(ptr::null_mut::<Guarded<Kept>>(), message(b"g", b"lost")) };
        deliver::<Kept>(u64::MAX, &Name::of(b"g"), 1, 1, ptr::null_mut(), 0);
        confchg::<Kept>(u64::MAX, ptr::null(), ptr::null(), 9, ptr::null(), 9, ptr::null(), 9);
        totem::<Kept>(u64::MAX, Ring { nodeid: 1, seq: 4 }, 9, ptr::null());
    }
}
