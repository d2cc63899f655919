//! For the tests alone: each rule can be left out, to see that it would be missed.

/// A rule, as one place of the code has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Rule {
    /// A lease lasts from before its renewal was sent.
    CountFromSending,
    /// A renewal that a read finds done lasts from when it was sent first, and not from the read.
    CountFromFirstTry,
    /// A put without an answer may not have been carried out.
    DoubtUnknown,
    /// A put of one's own is known as that where its answer was lost.
    KnowOwnPut,
    /// Another process with our incarnation is a clone.
    KnowClone,
    /// A renewal begins the waiting of who fences anew.
    SeeRenewals,
    /// Who fences waits for the replica too.
    WaitForGrace,
    /// Who fences waits from the answer to its first look.
    WaitFromAnswer,
    /// Time in which a call has failed does not count for fencing.
    SkipFailures,
    /// Who fences counts by the slower of two clocks.
    CountByBothClocks,
    /// Who fences takes the lease that it has seen, and no newer one.
    #[cfg(test)]
    FenceWhatWasSeen,
    /// Only who is over is taken off the view.
    RemoveOnlyOver,
    /// A view is put in place of the one that it was made of.
    #[cfg(test)]
    ReplaceWhatWasRead,
    /// Members join a settled view.
    JoinWhenSettled,
    /// Who joins adds others once they were seen alive.
    AddOnlyRenewed,
    /// Where many join, one reads the leases of all.
    TakeTurns,
    /// Who leaves in good order is none of those that were fenced.
    CountOnlyFenced,
    /// A lease that was deleted is followed by another incarnation.
    GoBeyondDeleted,
    /// A lease that was deleted after its member had left is followed by one that nobody has heard of.
    GoBeyondForgotten,
    /// A lease that a process gets on its way out is given back.
    GiveBackEarlyLease,
    /// One answer that a record is not there may be wrong.
    DoubtMissing,
    /// Others wait for a replica that nobody kills when its process stops.
    DeclareLongGrace,
    /// A member that began anew is another one.
    BeginAnew,
    /// A lease that lasts is taken up with proof.
    ProveDeath,
    /// Processes that die one after the other do not keep a view open.
    EndLoops,
    /// What was under way is waited for before an acknowledgement.
    AwaitWrites,
    /// An acknowledgement is waited for.
    AwaitAcknowledgement,
    /// Those who owned by any view that is not settled are waited for, not by the first alone.
    MindWholeChain,
    /// It is asked again before the last byte.
    AskAtLastByte,
    /// An epoch never falls.
    NeverGoBack,
    /// The clocks of a machine go alike.
    MindClocks,
    /// A renewal that a read finds done is held against the clocks of when it was sent.
    MindClocksOfLostAnswers,
    /// Members by other rules count.
    MindOtherRules,
}

#[cfg(test)]
thread_local! {
    pub(super) static OMITTED: std::cell::Cell<&'static [Rule]> = const { std::cell::Cell::new(&[]) };
}

/// Whether a test leaves this rule out. Nobody else does.
#[inline]
pub(super) fn omits(rule: Rule) -> bool {
    #[cfg(test)]
    return OMITTED.get().contains(&rule);
    #[cfg(not(test))]
    {
        let _ = rule;
        false
    }
}
