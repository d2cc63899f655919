//! Who owns a repository, as a document.

use super::HealthStatus;
use crate::shard::repository::NameError;
use crate::shard::{Health, Member, MemberIndex, Repository, View};
use serde::{Deserialize, Serialize};

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
    /// Whether the owner is up.
    pub health: HealthStatus,
    /// The view by which this holds.
    pub view: String,
}

impl OwnerAnswer {
    /// Finds the owner of a repository in a view.
    ///
    /// # Errors
    /// If that is no repository name.
    pub(crate) fn of(
        view: &View,
        name: &str,
        health: impl Fn(MemberIndex) -> Health,
    ) -> Result<Self, NameError> {
        let repository = Repository::parse(name)?;
        let owner = view.owner(&repository);
        let Member {
            id,
            address,
            weight: _,
        } = view.members().get(owner);
        Ok(Self {
            repository: name.to_owned(),
            owner: id.to_string(),
            address: address.to_string(),
            local: owner == view.members().local(),
            pinned: view.pins().owner(&repository).is_some(),
            health: health(owner).into(),
            view: view.fingerprint().to_string(),
        })
    }
}
