use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Waker};

use super::*;

use Access::{Read, Write};

const PATIENCE: Duration = Duration::from_secs(5);

fn number(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn admission(max_in_flight: usize, queue_limit: usize) -> Arc<Admission> {
    Arc::new(Admission::new(number(max_in_flight), queue_limit, PATIENCE))
}

fn enter(admission: &Admission, access: Access, times: usize) -> Vec<Permit> {
    let entered: Vec<_> = (0..times)
        .map_while(|_| admission.try_enter(access))
        .collect();
    assert_eq!(entered.len(), times);
    entered
}

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Permit, Failure>> + Send + 'a>>;

/// A request that stands in the queue.
fn queued(admission: &Admission, access: Access) -> Wait<'_> {
    let mut wait: Wait<'_> = Box::pin(admission.wait(access));
    assert!(look(&mut wait).is_none());
    wait
}

/// What came of a wait so far.
fn look(wait: &mut Wait<'_>) -> Option<Result<Permit, Failure>> {
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

fn in_flight(admission: &Admission) -> (usize, usize) {
    (admission.in_flight(Read), admission.in_flight(Write))
}

fn waiting(admission: &Admission) -> (usize, usize) {
    (admission.waiting(Read), admission.waiting(Write))
}

#[test]
fn reads_and_writes_have_three_quarters_of_the_places_each() {
    for (places, of_lane) in [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 3),
        (7, 5),
        (8, 6),
        (256, 192),
        (2048, 1536),
        (usize::MAX, usize::MAX / 4 * 3 + 2),
    ] {
        assert_eq!(lane_of(number(places)).get(), of_lane, "of {places}");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_capacity_requests_wait_and_beyond_the_queue_they_are_refused() {
    for access in [Read, Write] {
        let admission = admission(1, 1);
        let first = admission.try_enter(access).unwrap();
        assert!(admission.try_enter(access).is_none());
        assert_eq!(admission.in_flight(access), 1);
        assert_eq!((admission.capacity(), admission.queue_limit()), (1, 1));

        let second = queued(&admission, access);
        assert_eq!(admission.waiting(access), 1);
        let third = admission.wait(access).await;
        assert_eq!(third.unwrap_err(), Failure::QueueFull);

        drop(first);
        let second = second.await.unwrap();
        assert_eq!(admission.in_flight(access), 1);
        let fourth = admission.wait(access).await;
        assert_eq!(fourth.unwrap_err(), Failure::QueueTimeout);
        drop(second);
        assert_eq!(
            (in_flight(&admission), waiting(&admission)),
            ((0, 0), (0, 0))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn neither_pushes_nor_pulls_take_the_places_of_the_others() {
    for (many, few) in [(Write, Read), (Read, Write)] {
        let admission = admission(8, 2);
        let crowd = enter(&admission, many, 6);
        assert!(admission.try_enter(many).is_none());
        let mut more = [queued(&admission, many), queued(&admission, many)];
        let full = admission.wait(many).await.unwrap_err();
        assert_eq!(full, Failure::QueueFull, "the queue of the crowd");

        // The others neither wait behind the crowd nor are they refused.
        let others = enter(&admission, few, 2);
        let counts = [many, few].map(|access| admission.in_flight(access));
        assert_eq!(counts, [6, 2]);
        let mut other = queued(&admission, few);
        let counts = [many, few].map(|access| admission.waiting(access));
        assert_eq!(counts, [2, 1]);
        // Their place goes to one of them, though the crowd came first.
        drop(others);
        assert!(matches!(look(&mut other), Some(Ok(_))));
        assert!(look(&mut more[0]).is_none());
        drop(crowd);
        assert!(
            more.iter_mut()
                .all(|wait| matches!(look(wait), Some(Ok(_))))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pulls_and_pushes_take_turns() {
    let admission = admission(4, 9);
    let mut pulls = enter(&admission, Read, 2);
    let mut pushes = enter(&admission, Write, 2);
    let mut push = queued(&admission, Write);
    let mut pull = queued(&admission, Read);
    pulls.pop();
    assert!(look(&mut pull).is_none(), "first come, first served");
    assert!(matches!(look(&mut push), Some(Ok(_))));
    pushes.pop();
    assert!(matches!(look(&mut pull), Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_gives_everything_back() {
    let admission = admission(4, 1);
    let mut pulls = enter(&admission, Read, 3);
    let push = enter(&admission, Write, 1);
    for _ in 0..20 {
        // It holds a write place when it leaves.
        drop(queued(&admission, Write));
        drop(queued(&admission, Read));
        // Nor does it matter whether a place was on its way.
        let mut late = queued(&admission, Write);
        pulls.pop();
        drop(late);
        pulls.push(admission.try_enter(Read).unwrap());
        late = queued(&admission, Write);
        tokio::time::advance(PATIENCE).await;
        assert!(matches!(look(&mut late), Some(Err(Failure::QueueTimeout))));
        assert_eq!(
            (in_flight(&admission), waiting(&admission)),
            ((3, 1), (0, 0))
        );
    }
    drop((pulls, push));
    drop(enter(&admission, Write, 3));
    drop(enter(&admission, Read, 3));
}

#[tokio::test(start_paused = true)]
async fn more_places_are_there_at_once() {
    let admission = admission(1, 4);
    let _first = admission.try_enter(Write).unwrap();
    let mut waits = [Write, Read, Write].map(|access| queued(&admission, access));
    admission.set_limits(number(8), 5, PATIENCE);
    assert_eq!((admission.capacity(), admission.queue_limit()), (8, 5));
    let _entered = waits.each_mut().map(|wait| look(wait).unwrap().unwrap());
    assert_eq!(in_flight(&admission), (1, 3));
    let _more = enter(&admission, Write, 3);
    assert!(admission.try_enter(Write).is_none());
    let _rest = enter(&admission, Read, 1);
    assert!(admission.try_enter(Read).is_none());
}

#[tokio::test(start_paused = true)]
async fn fewer_places_take_effect_as_they_come_back() {
    let admission = admission(8, 4);
    let mut pushes = enter(&admission, Write, 4);
    let mut pulls = enter(&admission, Read, 2);
    // Two are free and go at once; two more go as they come back.
    admission.set_limits(number(4), 4, PATIENCE);
    assert_eq!((admission.capacity(), in_flight(&admission)), (4, (2, 4)));
    let mut pull = queued(&admission, Read);
    let mut push = queued(&admission, Write);
    pushes.pop();
    pulls.pop();
    assert!(look(&mut pull).is_none());
    assert_eq!(in_flight(&admission), (1, 3));
    pulls.pop();
    let _pull = look(&mut pull).unwrap().unwrap();
    assert!(look(&mut push).is_none(), "three pushes are in flight");
    pushes.pop();
    let _push = look(&mut push).unwrap().unwrap();
    assert_eq!(in_flight(&admission), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_still_to_go_stays_when_there_are_to_be_more_again() {
    let admission = admission(8, 4);
    let all = [enter(&admission, Read, 6), enter(&admission, Write, 2)];
    admission.set_limits(number(2), 4, PATIENCE);
    admission.set_limits(number(5), 4, PATIENCE);
    assert!(admission.try_enter(Read).is_none());
    drop(all);
    let five = [enter(&admission, Read, 3), enter(&admission, Write, 2)];
    assert!(admission.try_enter(Write).is_none());
    drop(five);
    drop(enter(&admission, Write, 3));
}

#[tokio::test(start_paused = true)]
async fn other_queue_limits_are_for_who_comes_then() {
    let admission = admission(1, 1);
    let _first = admission.try_enter(Read).unwrap();
    let patient = queued(&admission, Read);
    admission.set_limits(number(1), 2, PATIENCE / 5);
    let mut hasty = queued(&admission, Read);
    tokio::time::advance(PATIENCE / 5).await;
    assert!(matches!(look(&mut hasty), Some(Err(Failure::QueueTimeout))));
    assert_eq!(waiting(&admission), (1, 0));
    assert_eq!(patient.await.unwrap_err(), Failure::QueueTimeout);
    admission.set_limits(number(1), 0, PATIENCE);
    assert_eq!(admission.wait(Read).await.unwrap_err(), Failure::QueueFull);
}

#[tokio::test(start_paused = true)]
async fn any_number_can_become_any_other() {
    let admission = admission(usize::MAX, 1);
    let mut inside = enter(&admission, Read, 1);
    inside.extend(admission.try_enter(Write));
    for places in [1, usize::MAX, 3, usize::MAX, 1] {
        admission.set_limits(number(places), 1, PATIENCE);
        assert_eq!(admission.try_enter(Read).is_some(), places > 2);
    }
    inside.pop();
    assert!(admission.try_enter(Read).is_none());
    inside.pop();
    assert!(admission.try_enter(Write).is_some());
}

const MOST: usize = 12;

/// Requests with a place, counted by themselves.
#[derive(Default)]
struct Inside {
    all: AtomicUsize,
    lanes: [AtomicUsize; 2],
    too_many: AtomicBool,
}

impl Inside {
    async fn stay(&self, access: Access) {
        let lane = &self.lanes[access as usize];
        let all = self.all.fetch_add(1, Ordering::SeqCst) + 1;
        let of_lane = lane.fetch_add(1, Ordering::SeqCst) + 1;
        if all > MOST || of_lane > MOST * 3 / 4 {
            self.too_many.store(true, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
        self.all.fetch_sub(1, Ordering::SeqCst);
        lane.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Threads that enter, wait, give up and leave, while the number of places changes all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_count_is_ever_exceeded_and_none_is_lost() {
    let admission = Arc::new(Admission::new(number(MOST), 64, PATIENCE));
    let inside = Arc::new(Inside::default());
    let tasks: Vec<_> = (0..16)
        .map(|task| tokio::spawn(come_and_go(admission.clone(), inside.clone(), task)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(!inside.too_many.load(Ordering::SeqCst));
    assert_eq!(
        (in_flight(&admission), waiting(&admission)),
        ((0, 0), (0, 0))
    );
    for places in [3, MOST, 1] {
        admission.set_limits(number(places), 64, PATIENCE);
        let writes = enter(&admission, Write, lane_of(number(places)).get());
        let reads = enter(&admission, Read, places - writes.len());
        assert!(admission.try_enter(Read).is_none());
        drop((reads, writes));
    }
}

async fn come_and_go(admission: Arc<Admission>, inside: Arc<Inside>, task: usize) {
    for round in 0..2_000_usize {
        let access = if (round + task).is_multiple_of(3) {
            Read
        } else {
            Write
        };
        let permit = match admission.try_enter(access) {
            Some(permit) => Some(permit),
            // Some leave the queue after one look.
            None if round.is_multiple_of(4) => {
                let mut wait: Wait<'_> = Box::pin(admission.wait(access));
                look(&mut wait).and_then(Result::ok)
            }
            None => admission.wait(access).await.ok(),
        };
        if permit.is_some() {
            inside.stay(access).await;
        }
        drop(permit);
        if task == 0 {
            let places = [1, 5, MOST, 3][round % 4];
            admission.set_limits(number(places), 64, PATIENCE);
        }
    }
}
