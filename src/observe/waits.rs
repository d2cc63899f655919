//! Where the time of one request went, apart from the transfer of its answer.

use std::time::Duration;

use super::metrics::WaitFor;

/// How long a request waited, by what for. Zero where it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// A place at the replica or the peer.
    pub queue: Duration,
    /// The owner, or leave to write.
    pub hold: Duration,
    /// A new connection.
    pub connect: Duration,
    /// The client's body.
    pub client: Duration,
    /// The answer's head, all that was sent being taken.
    pub replica: Duration,
}

impl Waits {
    /// All of them, by name.
    pub(crate) fn each(&self) -> [(WaitFor, Duration); 5] {
        let Self {
            queue,
            hold,
            connect,
            client,
            replica,
        } = *self;
        [
            (WaitFor::Queue, queue),
            (WaitFor::Hold, hold),
            (WaitFor::Connect, connect),
            (WaitFor::Client, client),
            (WaitFor::Replica, replica),
        ]
    }
}
