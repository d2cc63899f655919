//! The pure core: which member owns a request, and what this member does with it.
//!
//! Nothing here performs I/O, waits, reads a clock or knows the proxy framework. Every type is a value and every
//! decision a function, so all of it can be tested by tables, properties and fuzzing.
//!
//! A request's way through this room:
//!
//! ```text
//!  raw path ──► route::parse ──► Route ──► View::owner ──► plan::plan ──► Plan
//!                 │                          │                │
//!                 └ repository (grammar)     ├ pins           ├ arrival (which listener)
//!                                            └ placement      └ health of each member
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`members`] | who takes part: ids, addresses, weights; never empty, never ambiguous |
//! | [`repository`] | the repository name and its grammar |
//! | [`route`] | raw request path → what it means, or why it is refused |
//! | [`placement`] | (members, repository) → owner: rendezvous, or zot's own |
//! | [`pins`] | repositories that an operator tied to a member |
//! | [`view`] | members + placement + pins as one value, with the fingerprint that peers compare |
//! | [`health`] | consecutive probe results → up or down |
//! | [`circuit`] | consecutive failures → left alone for a while, then tried by one request |
//! | [`ownership`], [`leases`] | who may write now: by a list in a file, by leases on a store |
//! | [`text`] | characters and digits of others, made safe to show |
//! | [`mod@plan`] | everything above → what to do with one request |
//!
//! Three rules hold throughout. What is forwarded is exactly what was hashed, so a path that two registries could
//! read differently is refused. A request that arrived from a peer is never forwarded. Only reads may be served by
//! a member that is not the owner.

pub mod circuit;
pub mod health;
pub mod leases;
pub mod members;
pub mod ownership;
pub mod pins;
pub mod placement;
pub mod plan;
pub mod repository;
pub mod route;
pub mod text;
pub mod view;

pub use circuit::{Circuit, CircuitLimits, CircuitState, Outcome};
pub use health::{Health, Thresholds, Tracker};
pub use members::{
    Host, Member, MemberAddress, MemberId, MemberIndex, Members, MembersError, Weight,
};
pub use pins::{Pin, PinPrefix, Pins, PinsError};
pub use placement::{HashKey, Placement};
pub use plan::{Arrival, BlobReads, OwnerDown, Plan, Policy, Reject, Request, plan, second};
pub use repository::Repository;
pub use route::{Access, Operation, RegistryRoute, Resource, Route, RouteError, parse};
pub use view::{Description, Fingerprint, OtherView, StickyToken, View};
