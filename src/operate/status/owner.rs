//! Who owns a repository, and what this member would do, as a document.

use super::HealthStatus;
use crate::observe::human;
use crate::shard::plan::{self, Arrival, Plan, Policy, Reject, Request};
use crate::shard::repository::NameError;
use crate::shard::{Access, Health, Member, MemberIndex, Repository, Resource, Route, View};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Replicas that are named as readers.
const READERS: usize = 8;

/// The document under `/api/v1/owner`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerAnswer {
    /// As asked.
    pub repository: String,
    /// Id of its owner.
    pub owner: String,
    /// Host and port of the owner's peer listener.
    pub address: String,
    /// Whether the owner is the one that answers.
    pub local: bool,
    /// Whether a pin decides, and not the placement.
    pub pinned: bool,
    /// The prefix of that pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Whether the owner is up.
    pub health: HealthStatus,
    /// Members whose replicas reads may come from, in the order in which this member asks.
    #[serde(default)]
    pub readers: Vec<String>,
    /// What this member would do with a read now.
    #[serde(default)]
    pub reads_here: String,
    /// What this member would do with a write now.
    #[serde(default)]
    pub writes_here: String,
    /// The view by which this holds.
    pub view: String,
}

/// The member that is asked: what it goes by.
pub(crate) struct Asker<'a> {
    pub(crate) view: &'a View,
    pub(crate) policy: &'a Policy,
    /// How long a request may wait.
    pub(crate) hold: Duration,
    /// Why a write of this repository would wait, where the owner is not the reason.
    pub(crate) in_doubt: &'a dyn Fn(&Repository<'_>) -> Option<String>,
    pub(crate) health: &'a dyn Fn(MemberIndex) -> Health,
}

impl OwnerAnswer {
    /// Finds the owner of a repository in a view.
    ///
    /// # Errors
    /// If that is no repository name.
    pub(crate) fn of(asker: &Asker<'_>, name: &str) -> Result<Self, NameError> {
        let Asker {
            view,
            policy,
            hold: _,
            in_doubt,
            health,
        } = asker;
        let repository = Repository::parse(name)?;
        let owner = view.owner(&repository);
        let Member {
            id,
            address,
            weight: _,
        } = view.members().get(owner);
        let pin = view.pins().owner(&repository).and_then(|_| {
            let pins = view.pins().iter().map(|(prefix, _)| prefix.as_str());
            pins.filter(|prefix| covers(prefix, name))
                .max_by_key(|prefix| prefix.len())
        });
        let readers = plan::readers(owner, view, policy);
        let named = readers.iter().take(READERS);
        let doubt = in_doubt(&repository);
        let writes_here = match doubt {
            Some(why) if owner == view.members().local() => asker.waits(&why),
            _ => asker.does(&repository, Access::Write),
        };
        Ok(Self {
            owner: id.to_string(),
            address: address.to_string(),
            local: owner == view.members().local(),
            pinned: pin.is_some(),
            pin: pin.map(str::to_owned),
            health: health(owner).into(),
            readers: named
                .map(|member| view.members().get(*member).id.to_string())
                .collect(),
            reads_here: asker.does(&repository, Access::Read),
            writes_here,
            view: view.fingerprint().to_string(),
            repository: name.to_owned(),
        })
    }
}

impl Asker<'_> {
    /// What becomes of a client's request for a manifest of this repository.
    fn does(&self, repository: &Repository<'_>, access: Access) -> String {
        let route = Route::Repository {
            repository: *repository,
            resource: Resource::Manifest {
                reference: "latest",
            },
        };
        let request = Request {
            arrival: Arrival::Client,
            route: &route,
            owner: None,
            access,
            ranged: false,
            method_is_get: access == Access::Read,
            sticky: None,
            fallback: false,
        };
        let id = |member| &self.view.members().get(member).id;
        match plan::plan(&request, self.view, self.policy, self.health) {
            Plan::Local | Plan::Spread { .. } => "goes to its own replica".to_owned(),
            Plan::Forward(owner) => format!("is forwarded to {}", id(owner)),
            Plan::Fallback { owner } => {
                format!("goes to its own replica, in place of {}", id(owner))
            }
            Plan::PeerFallback { peer } => {
                format!("is forwarded to {}, in place of its own replica", id(peer))
            }
            Plan::Reject(Reject::OwnerDown { owner }) => {
                self.waits(&format!("{} does not answer", id(owner)))
            }
            Plan::Reject(Reject::ReplicaDown) => self.waits("its own replica does not answer"),
            Plan::Reject(Reject::Misdirected { .. } | Reject::Private) => "is refused".to_owned(),
        }
    }

    fn waits(&self, why: &str) -> String {
        if self.hold.is_zero() {
            return format!("is refused with 503: {why}");
        }
        let hold = human::duration(self.hold.as_secs());
        format!("waits for up to {hold}, then is refused with 503: {why}")
    }
}

/// Whether a prefix stands for this name: whole components.
fn covers(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
