//! The owner of a repository dies: what goes on meanwhile, and what waits for it.

use std::time::{Duration, Instant};

use super::client::Client;
use super::cluster::Cluster;
use super::image::Image;
use super::{DemoError, REPOSITORY, TAG, push, say, text};

/// Owned by the first member, which stays.
const ELSEWHERE: &str = "team/app";
/// The tag that is pushed while the owner is away.
const NEXT_TAG: &str = "v2";
/// How long the owner is away at least: long enough to see that the push waits.
const AWAY: Duration = Duration::from_secs(1);

/// Kills the owner, asks the others, and starts it again while a push waits for it.
pub(super) async fn show(
    cluster: &mut Cluster,
    image: &Image,
    owner: &str,
) -> Result<(), DemoError> {
    let places = cluster.places();
    let index = places.iter().position(|place| place.id == owner);
    let mut others = places.iter().filter(|place| place.id != owner);
    let (Some(index), Some(one), Some(two)) = (index, others.next(), others.next()) else {
        return Err(DemoError::NoMembers);
    };
    say(&text::killing(owner, REPOSITORY));
    cluster.kill(index).await;

    push::pull(&mut Client::new(one.clients), REPOSITORY, TAG, image).await?;
    let pull = format!("pull {REPOSITORY}:{TAG} through {}", one.id);
    say(&text::served(
        &pull,
        "goes on: another registry over the same store serves it",
    ));
    push::push(&mut Client::new(two.clients), ELSEWHERE, TAG, image).await?;
    let push_elsewhere = format!("push {ELSEWHERE}:{TAG} through {}", two.id);
    say(&text::served(
        &push_elsewhere,
        "goes on: its owner is there",
    ));

    let waiting = format!("push {REPOSITORY}:{NEXT_TAG} through {}", one.id);
    say(&text::served(
        &waiting,
        "waits: nobody else may write there",
    ));
    let began = Instant::now();
    let mut client = Client::new(one.clients);
    let heal = async {
        tokio::time::sleep(AWAY).await;
        say(&text::healing(owner));
        cluster.restart(index).await
    };
    let (pushed, healed) = tokio::join!(push::push(&mut client, REPOSITORY, NEXT_TAG, image), heal);
    healed?;
    pushed?;
    let took = format!(
        "was taken by {owner} after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    say(&text::served(&waiting, &took));
    Ok(())
}
