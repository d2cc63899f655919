//! For the tests alone: each rule can be left out, to see that it would be missed.

/// A rule, as one place of the code has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Rule {
    /// A lease lasts from before its renewal was sent.
    CountFromSending,
    /// One that a read finds done lasts from then too, and not from the read.
    CountFromFirstTry,
    /// A put without an answer may not have been carried out.
    DoubtUnknown,
    /// One that was is no one else's.
    KnowOwnPut,
    /// Another process with our incarnation is a clone.
    KnowClone,
    /// A renewal begins the waiting of who fences anew.
    SeeRenewals,
    /// Who fences waits for the replica too.
    WaitForGrace,
    /// It waits from the answer to its first look.
    WaitFromAnswer,
    /// Time in which a call has failed does not count.
    SkipFailures,
    /// It counts by the slower of two clocks.
    CountByBothClocks,
    /// It fences what it has seen, and nothing newer.
    #[cfg(test)]
    FenceWhatWasSeen,
    /// Only who is over is taken off the view.
    RemoveOnlyOver,
    /// A view is put in place of the one that it was made of.
    #[cfg(test)]
    ReplaceWhatWasRead,
    /// Members join a settled view.
    JoinWhenSettled,
    /// Others are added once they were seen alive.
    AddOnlyRenewed,
    /// Who leaves in good order is none of those that were fenced.
    CountOnlyFenced,
    /// A lease that was deleted is followed by another incarnation.
    GoBeyondDeleted,
    /// One that a process gets on its way out is given back.
    GiveBackEarlyLease,
    /// One answer that a record is not there may be wrong.
    DoubtMissing,
    /// Others wait for a replica that nobody kills when its process stops.
    DeclareLongGrace,
    /// A member that began anew is another one.
    BeginAnew,
    /// A lease that lasts is taken up with proof.
    ProveDeath,
    /// What was under way is waited for before an acknowledgement.
    AwaitWrites,
    /// An acknowledgement is waited for.
    AwaitAcknowledgement,
    /// Of every view that is not settled.
    MindWholeChain,
    /// It is asked again before the last byte.
    AskAtLastByte,
    /// An epoch never falls.
    NeverGoBack,
    /// The clocks of a machine go alike.
    MindClocks,
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
