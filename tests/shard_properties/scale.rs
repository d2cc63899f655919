//! The simulation of docs/scale.md, small: shares, moves and talk stay within what placement promises.

#[path = "../../benches/scale/model/mod.rs"]
mod model;

use shardlet::shard::Placement;

use model::{
    Catalog, EXPONENTS, Load, MIDDLE, Spread, Weights, moves, pin_hottest, spread, traffic, view,
    workers,
};

const REPOSITORIES: u32 = 20_000;
const FLEETS: [usize; 4] = [3, 10, 30, 100];
/// A fair count is off by more than so many standard deviations once in ten million.
const DEVIATIONS: f64 = 5.5;

fn deviation(part: f64) -> f64 {
    (part * (1.0 - part) / f64::from(REPOSITORIES)).sqrt()
}

#[test]
fn each_member_owns_its_share_and_all_shares_are_all_there_is() {
    let catalog = Catalog::new(REPOSITORIES);
    for (members, weights) in FLEETS
        .into_iter()
        .zip([Weights::Equal, Weights::Mixed].into_iter().cycle())
    {
        let view = view(members, Placement::Rendezvous, weights);
        let loads = spread(&view, &catalog);
        let owned: u32 = loads.iter().map(|load| load.repositories).sum();
        assert_eq!(owned, REPOSITORIES);
        for (load, (_, share)) in loads.iter().zip(view.shares()) {
            let off = (f64::from(load.repositories) / f64::from(REPOSITORIES) - share).abs();
            assert!(
                off < DEVIATIONS * deviation(share),
                "{members} members: {load:?}, not {share}"
            );
        }
        let spread = Spread::of(&loads, weights, |load| f64::from(load.repositories));
        assert!(
            spread.median <= spread.p99 && spread.p99 <= spread.most,
            "{spread:?}"
        );
        for exponent in 0..EXPONENTS.len() {
            let all: f64 = loads.iter().map(|load| load.requests[exponent]).sum();
            assert!((all - 1.0).abs() < 1e-9, "{all} of all requests");
        }
        let bytes: f64 = loads.iter().map(|load| load.bytes).sum();
        assert!((bytes - 1.0).abs() < 1e-9, "{bytes} of all bytes");
    }
    assert!(workers() > 0);
}

#[test]
fn a_run_gives_the_same_as_the_one_before() {
    let catalog = Catalog::new(REPOSITORIES);
    let loads = || spread(&view(10, Placement::Rendezvous, Weights::Equal), &catalog);
    assert_eq!(loads(), loads());
}

#[test]
fn a_change_moves_no_more_than_it_must() {
    let catalog = Catalog::new(REPOSITORIES);
    for members in FLEETS {
        let n = members as f64;
        // What must move, and what a remainder by the number of members moves.
        for (after, must, modulo) in [
            (members + 1, 1.0 / (n + 1.0), n / (n + 1.0)),
            (members - 1, 1.0 / n, (n - 1.0) / n),
            (2 * members, 0.5, 0.5),
        ] {
            for (placement, expected) in [(Placement::Rendezvous, must), (Placement::Zot, modulo)] {
                let [before, after] =
                    [members, after].map(|count| view(count, placement, Weights::Equal));
                let moved = moves(&before, &after, &catalog);
                let off = (moved.repositories - expected).abs();
                assert!(
                    off < DEVIATIONS * deviation(expected),
                    "{placement} from {members} to {}: {moved:?}, not {expected}",
                    after.members().len()
                );
                if placement == Placement::Rendezvous {
                    assert_eq!(
                        moved.needless,
                        0.0,
                        "from {members} to {}",
                        after.members().len()
                    );
                }
                assert!((0.0..=1.0).contains(&moved.requests));
            }
        }
    }
}

#[test]
fn pins_level_what_skew_makes_uneven_down_to_the_hottest_repository() {
    const PINS: u32 = 1_000;
    let catalog = Catalog::new(REPOSITORIES);
    let popularity = |rank| catalog.popularity(rank)[MIDDLE];
    let unpinned = 1.0 - (0..PINS).map(popularity).sum::<f64>();
    let most =
        |loads: &[Load]| Spread::of(loads, Weights::Equal, |load| load.requests[MIDDLE]).most;
    for members in FLEETS {
        let view = view(members, Placement::Rendezvous, Weights::Equal);
        let loads = spread(&view, &catalog);
        let before = most(&loads);
        let after = most(&pin_hottest(&loads, &view, &catalog, PINS));
        // One repository is one member's, which has its share of the unpinned ones too.
        let hottest = popularity(0) * members as f64;
        let best = (hottest + unpinned).max(1.0);
        assert!(
            before >= hottest && after >= hottest,
            "{members} members: {before}, {after}"
        );
        assert!(
            after < best * 1.05,
            "{members} members: {after} after pinning, at best {best}"
        );
    }
}

#[test]
fn talk_grows_with_the_fleet_up_to_a_limit() {
    let [few, sixty_five, many] = [30, 65, 1000].map(traffic);
    assert_eq!((few.every, few.questions, few.connections), (1.0, 29.0, 58));
    assert_eq!((sixty_five.every, sixty_five.questions), (1.0, 64.0));
    assert_eq!(many.every, 16.0);
    assert!(
        many.questions < 64.0 && many.bytes < sixty_five.bytes * 1.05,
        "{many:?}"
    );
    assert!(many.exchange < few.exchange + 50, "{many:?}");
    assert!(many.change > 30 * few.change, "{many:?}");
}
