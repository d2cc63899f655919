//! What moves when a fleet becomes another.

use shardlet::shard::{Repository, View};

use super::catalog::{Catalog, MIDDLE};
use super::parallel::pieces;

/// The part of all repositories, and of all requests, that get another owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moves {
    pub repositories: f64,
    pub requests: f64,
    /// Those among them that move from one member that stays to another: work that the change did not ask for.
    pub needless: f64,
}

/// Members keep their place in the list, so they are compared by it.
pub fn moves(before: &View, after: &View, catalog: &Catalog) -> Moves {
    let stay = before.members().len().min(after.members().len());
    let parts = pieces(catalog.repositories, |ranks| {
        let mut moved = Moves::default();
        let mut name = String::new();
        for rank in ranks {
            Catalog::name_into(rank, &mut name);
            let repository = Repository::parse(&name).unwrap();
            let [old, new] = [before, after].map(|view| view.owner(&repository).get());
            if old != new {
                moved.repositories += 1.0;
                moved.requests += catalog.popularity(rank)[MIDDLE];
                if old < stay && new < stay {
                    moved.needless += 1.0;
                }
            }
        }
        moved
    });
    let all = f64::from(catalog.repositories);
    let sum = |part: fn(&Moves) -> f64| parts.iter().map(part).sum::<f64>();
    Moves {
        repositories: sum(|moved| moved.repositories) / all,
        requests: sum(|moved| moved.requests),
        needless: sum(|moved| moved.needless) / all,
    }
}
