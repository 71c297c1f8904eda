//! Deliberate bugs: `tests/suites/mutants.rs` plants one at a time and demands that a checker finds it. The feature
//! `planted` is in no program that ships; without it every `planted!` is `false`.

use crate::effect::Effects;
use crate::ids::NodeId;
use crate::notice::Notice;
use std::cell::Cell;

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident),* $(,)?) => {
        /// One deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$bug,)*];
        }
    };
}

bugs![
    /// Members whose node is not in the ring are waited for.
    GhostsAreLive,
    /// Who is not named by those who have not heard of it yet is a ghost.
    NewcomersAreGhosts,
    /// Quorum of an earlier ring counts.
    QuorumOfAnyRing,
    /// A ring without quorum counts as one with it.
    MinorityIsQuorate,
    /// Messages sent in another ring count.
    MessagesOfAnyRing,
    /// Messages sent among other members count.
    MessagesOfAnyMembers,
    /// LEAVE is clean without Goodbye.
    LeaveIsClean,
    /// PROCDOWN is clean.
    ProcdownIsClean,
    /// What was live on a node whose agent died is not remembered.
    AbsentIsForgotten,
    /// Nor told to others.
    AbsentIsNotShared,
    /// And changes do not wait for it.
    AbsentBlocksNothing,
    /// What was agreed in one view counts in the next.
    OldViewStands,
    /// The disk heartbeat of a dead node never runs out.
    DeadForEver,
    /// No Hello follows from a change of quorum alone.
    QuorumIsNoNews,
    /// Bytes that are no message end the daemon.
    GarbageEndsIt,
    /// Own messages may stay away for ever.
    DeafIsNotNoticed,
    /// What a kernel refused is not tried again.
    NoSecondTry,
    /// A second Hello of a member does not begin the exchange anew.
    SecondHelloIsIgnored,
    /// A new table is not kept for the next view.
    TableIsNotKept,
    /// Nodes with an odd nodeid do not hear proposals.
    OddNodesMissProposals,
    /// All steps have one number.
    RoundsAreOne,
    /// Hello is said while the kernel still works.
    HelloBeforeTheKernelIsDone,
    /// Whoever is in the ring may be forgotten as if it were gone.
    PresentIsGone,
    /// A removal that was held up is not proposed again.
    HeldForEver,
    /// The others are not told what is mounted.
    LiveIsNotTold,
    /// A view without quorum makes changes.
    QuorumIsNotAsked,
    /// The oldest table of a merge wins.
    OldestTableWins,
    /// A table that lacks a member's own entry counts.
    TableBeforeKernel,
    /// A node with an entry that is not local counts as in.
    WhoHasAnEntryIsIn,
    /// Two agents of one node are let in.
    TwoAgentsAreIn,
    /// Other time-outs than the members' are no reason to refuse.
    TimeOutsMayDiffer,
    /// A joiner is admitted before the others have its entry.
    JoinerNeedsNobody,
    /// A step ends without its answers.
    AnswersAreNotAwaited,
    /// A refusal by a kernel counts as done.
    FailedIsDone,
    /// A pinned entry is removed.
    HeldIsDone,
    /// A refused addition is not taken back on the others.
    NothingIsUndone,
    /// A refused removal is not taken back on the others.
    NothingIsRestored,
    /// Entries are removed without a vote.
    NobodyVotes,
    /// The node that wants another entry is not asked about its old one.
    OwnerIsNotAsked,
    /// An addition that a view change cut off is not carried on.
    LeftoversAreForgotten,
    /// A member that lacks entries does not get them.
    NobodyIsAligned,
    /// To undo an addition takes out what a living node goes by.
    UndoTakesTheLiving,
    /// A change of the table does not change its version.
    VersionsStandStill,
    /// Done is answered, and nothing was.
    NothingIsDone,
    /// The state file is not written before the kernel.
    NotSavedBefore,
    /// The end of a batch answers whatever step is in progress.
    LateBatchAnswers,
    /// Being in the ring does not keep an entry.
    TheLivingMayGo,
    /// What was written is forgotten.
    AccountIsLost,
    /// To remove one entry removes all.
    AllEntriesGo,
    /// A restarted daemon takes nothing for its own.
    NothingIsAdopted,
    /// The daemon ends with volumes mounted.
    PinsDoNotHold,
    /// corosync may end with volumes mounted.
    ShutdownIsFine,
    /// `can-stop` says yes with volumes mounted.
    CanStopIsAYes,
    /// A mount after the Goodbye does not keep the daemon.
    LateMountIsOverlooked,
    /// Whoever waits is answered again.
    AnsweredTwice,
    /// Whoever waits is never answered.
    WaitersAreForgotten,
    /// Settled is said while changes are under way.
    SettledIsAGuess,
    /// A node is said to be ready that is not.
    ReadyIsAGuess,
    /// A client that has gone is answered.
    AnsweredAfterTheEnd,
    /// DOWN is written although nobody has opened the fence gate.
    GateStandsOpen,
    /// A survivor does not write DOWN.
    DownIsForgotten,
    /// The DLM goes on after a death before the kernel is told of it.
    TheDlmGoesFirst,
    /// The DLM is not asked to wait.
    NothingIsRegistered,
    /// dlm_controld is told of a failure in a lockspace that has completed no change.
    ToldBeforeItStarted,
    /// A lockspace that takes no word is told again and again.
    WaitsInVain,
    /// What was refused is tried again at once.
    NoBackOff,
    /// The same events do not always give the same effects.
    ChanceDecides,
];

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Plants a bug in all agents of this thread, in place of the one before.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(crate) fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// [`Bug::ChanceDecides`].
pub(crate) fn by_chance(fx: &mut Effects) {
    CALLS.set(CALLS.get() + 1);
    if has(Bug::ChanceDecides) && CALLS.get() % 97 == 0 {
        fx.notice(Notice::NodeJoined { node: NodeId(0) });
    }
}
