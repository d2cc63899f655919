//! For the tests alone: each rule can be left out, to see that it would be missed.

/// A rule, as one place of the code has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// Another view or replica retires the ledger.
    RetireLedger,
    /// What a retired ledger had admitted is told while it goes on.
    TellWritesUnderWay,
    /// A write that nobody waits for counts on.
    CountOrphans,
    /// After another view is taken, everybody is asked before anything is written.
    AskBeforeWriting,
    /// So it is after another replica is taken.
    AskBeforeMoving,
    /// A question that is lost does not end the asking.
    WaitForAnswer,
    /// A party that cannot be reached counts with what it told last.
    KeepLastKnown,
    /// A member that is listed no more counts until it is gone.
    KeepFormerMembers,
    /// One that never told counts with the view that was shared.
    AssumeSharedView,
    /// Errors of our own are no silence.
    ForgiveOwnErrors,
    /// Somebody is gone only when several questions were unanswered.
    AskAgain,
    /// Silence lasts for `aftermath` before somebody is gone.
    WaitInSilence,
    /// Somebody who lets the time pass may have lived for a part of it.
    AllowForPartition,
    /// Somebody who is silent at first, and refuses then, has lived until then.
    CountFromRefusal,
    /// A request is a sign of life.
    HearRequests,
    /// A request shows a view that was not told yet.
    RememberUntoldView,
    /// A witness tells of that view.
    TestifyUntoldView,
    /// So does a question for a replica.
    RememberUntoldReplica,
    /// What is told may be older than what a request has shown.
    DoubtLateAnswers,
    /// Requests of members that nobody lists count.
    CountStrangers,
    /// What an earlier process of a party was writing counts for `aftermath`.
    KeepEarlierProcess,
    /// What witnesses tell of others counts.
    BelieveWitness,
    /// Only a complete witness ends the wait.
    RequireCompleteWitness,
    /// A process that has just started waits for `aftermath`.
    WaitAtStart,
    /// It waits for the `aftermath` of everybody's start that it can reach.
    WaitForOthersStart,
    /// It waits for everybody who is listed.
    WaitForListed,
    /// Writes of an earlier replica of our own count: of this process, and of one before.
    MindOldReplica,
    MindEarlierReplica,
    /// An absence of our own is noticed: by an event, and by a write.
    NoticeAbsence,
    NoticeAbsenceAtWrite,
}

#[cfg(test)]
thread_local! {
    pub(super) static OMITTED: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Whether a test leaves this rule out. Nobody else does.
#[inline]
pub(super) fn omits(rule: Rule) -> bool {
    #[cfg(test)]
    return OMITTED.get() == Some(rule);
    #[cfg(not(test))]
    {
        let _ = rule;
        false
    }
}
