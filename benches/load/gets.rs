//! Small requests over kept connections: as many as are answered, or so many a second.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::client::{Connection, Failure, Request, SMALL, Target};
use crate::histogram::Histogram;
use crate::schedule::Schedule;
use crate::usage::Watch;

/// How often the schedule is looked at. The tail of what is compared is ten times longer and more.
const TICK_NANOS: i64 = 50_000;
/// How long answers are waited for after the end of an open loop.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked, and for how long.
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) request: Request,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) watch: Watch,
}

/// Something that is done again and again by several workers.
pub(crate) trait Work {
    /// What a worker keeps between two times.
    type Kept;

    async fn prepare(&self) -> Result<Self::Kept, Failure>;
    async fn once(&self, kept: &mut Self::Kept) -> Result<(), Failure>;
}

struct Gets {
    target: Target,
    request: Request,
}

impl Work for Gets {
    type Kept = Connection;

    async fn prepare(&self) -> Result<Connection, Failure> {
        self.target.connect(SMALL).await
    }

    async fn once(&self, connection: &mut Connection) -> Result<(), Failure> {
        connection.ask(&self.request).await.map(drop)
    }
}

/// Each request follows the answer to the one before.
pub(crate) async fn closed(load: Load) -> Result<Value, Failure> {
    let gets = Gets {
        target: load.target,
        request: load.request,
    };
    repeat(
        gets,
        load.connections,
        load.warm_up,
        load.duration,
        load.watch,
    )
    .await
}

/// Has `workers` do it, each as often as it can, and counts what ends within `duration`.
pub(crate) async fn repeat<W: Work + 'static>(
    work: W,
    workers: usize,
    warm_up: Duration,
    duration: Duration,
    watch: Watch,
) -> Result<Value, Failure> {
    let work = Rc::new(work);
    let seen = Rc::new(RefCell::new(Histogram::new()));
    let (counts, goes_on) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(true)));
    let mut all = Vec::new();
    for _ in 0..workers {
        let mut kept = work.prepare().await?;
        let (work, seen) = (work.clone(), seen.clone());
        let (counts, goes_on) = (counts.clone(), goes_on.clone());
        all.push(spawn_local(async move {
            while goes_on.get() {
                let since = Instant::now();
                work.once(&mut kept).await.map_err(|e| e.to_string())?;
                if counts.get() {
                    seen.borrow_mut().record(since.elapsed());
                }
            }
            Ok(())
        }));
    }
    sleep(warm_up).await;
    counts.set(true);
    let (before, since) = (watch.cpu_time()?, Instant::now());
    sleep(duration).await;
    let (spent, elapsed) = (watch.cpu_time()? - before, since.elapsed());
    counts.set(false);
    goes_on.set(false);
    join(all).await?;
    let seen = seen.borrow();
    if seen.total() == 0 {
        return Err("nothing was done within the time".into());
    }
    Ok(report(&seen, elapsed, spent))
}

/// At a rate that answers do not change. Latency counts from when a request was due.
pub(crate) async fn open(load: Load, per_second: f64) -> Result<Value, Failure> {
    let start = Instant::now() + Duration::from_millis(10);
    let schedule = Rc::new(RefCell::new(Schedule::new(start, per_second)));
    let seen = Rc::new(RefCell::new(Histogram::new()));
    let (due, goes_on) = (Rc::new(Notify::new()), Rc::new(Cell::new(true)));
    let (begin, end) = (start + load.warm_up, start + load.warm_up + load.duration);
    let mut all = Vec::new();
    for _ in 0..load.connections {
        let mut connection = load.target.connect(SMALL).await?;
        let (schedule, seen) = (schedule.clone(), seen.clone());
        let (due, goes_on, request) = (due.clone(), goes_on.clone(), load.request.clone());
        all.push(spawn_local(async move {
            while goes_on.get() {
                let taken = schedule.borrow_mut().take(Instant::now());
                let Some(was_due) = taken else {
                    if schedule.borrow().is_over() {
                        break;
                    }
                    due.notified().await;
                    continue;
                };
                let asked = connection.ask(&request).await;
                asked.map_err(|e| e.to_string())?;
                if was_due >= begin {
                    seen.borrow_mut().record(was_due.elapsed());
                }
            }
            Ok(())
        }));
    }
    let ticks = spawn_local(tick(schedule.clone(), due.clone()));
    sleep(begin.saturating_duration_since(Instant::now())).await;
    let (before, since) = (load.watch.cpu_time()?, Instant::now());
    sleep(end.saturating_duration_since(Instant::now())).await;
    let (spent, elapsed) = (load.watch.cpu_time()? - before, since.elapsed());
    let in_time = seen.borrow().total();
    schedule.borrow_mut().end(end);
    ticks.abort();
    due.notify_waiters();
    // Whoever is too slow for the rate would go on for long: what has waited until then counts as answered then.
    let patience = {
        let goes_on = goes_on.clone();
        spawn_local(async move {
            sleep(PATIENCE).await;
            goes_on.set(false);
        })
    };
    join(all).await?;
    patience.abort();
    let mut schedule = schedule.borrow_mut();
    while let Some(was_due) = schedule.take(Instant::now()) {
        seen.borrow_mut().record(was_due.elapsed());
    }
    let seen = seen.borrow();
    let mut report = report(&seen, elapsed, spent);
    report["per_second"] = json!(rate(in_time, elapsed));
    Ok(report)
}

/// Wakes connections for what is due. (The runtime's own timers know milliseconds only.)
async fn tick(schedule: Rc<RefCell<Schedule>>, due: Rc<Notify>) -> io::Result<()> {
    let timer = timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
    )?;
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: TICK_NANOS,
    };
    let every = Itimerspec {
        it_interval: tick,
        it_value: tick,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
    #[allow(
        deprecated,
        reason = "sound for a descriptor that it owns; what takes its place needs unsafe"
    )]
    let timer = AsyncFd::new(timer)?;
    loop {
        let mut ready = timer.readable().await?;
        // How many ticks there were does not matter.
        let _ = rustix::io::read(timer.get_ref(), &mut [0; 8]);
        ready.clear_ready();
        for _ in 0..schedule.borrow().waiting(Instant::now()) {
            due.notify_one();
        }
    }
}

/// The first failure of all, if any.
pub(crate) async fn join(all: Vec<JoinHandle<Result<(), String>>>) -> Result<(), Failure> {
    for one in all {
        one.await??;
    }
    Ok(())
}

fn report(seen: &Histogram, elapsed: Duration, spent: Duration) -> Value {
    json!({
        "count": seen.total(),
        "seconds": elapsed.as_secs_f64(),
        "per_second": rate(seen.total(), elapsed),
        "p50_us": seen.micros_at(0.5),
        "p99_us": seen.micros_at(0.99),
        "p999_us": seen.micros_at(0.999),
        "cpu_seconds": spent.as_secs_f64(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use tokio::task::LocalSet;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// A server of one connection, and how long it takes over the request of each number.
    fn server(takes: impl Fn(u32) -> Duration + Send + 'static) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            for number in 0.. {
                if stream.read(&mut [0; 1024])? == 0 {
                    break;
                }
                thread::sleep(takes(number));
                stream.write_all(ANSWER)?;
            }
            Ok(())
        });
        port
    }

    fn open_for_one_second(port: u16, per_second: f64) -> Value {
        let load = Load {
            target: Target::new(port, None).expect("no TLS"),
            request: Request::get("/"),
            connections: 1,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            watch: Watch::new(Vec::new()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        LocalSet::new()
            .block_on(&runtime, open(load, per_second))
            .expect("answers")
    }

    #[test]
    fn whoever_comes_while_the_server_stands_still_has_waited() {
        let stall = |number| Duration::from_millis(if number == 100 { 300 } else { 0 });
        let seen = open_for_one_second(server(stall), 500.0);
        // One request of 500 met the stall itself; a hundred and fifty were due in it.
        assert!(seen["p99_us"].as_f64() > Some(250_000.0), "{seen}");
        assert!(seen["count"].as_u64() >= Some(500), "{seen}");
    }

    #[test]
    fn what_a_slow_server_did_not_get_to_is_counted_too() {
        let seen = open_for_one_second(server(|_| Duration::from_millis(4)), 500.0);
        assert!(seen["count"].as_u64() >= Some(500), "{seen}");
        assert!(seen["p50_us"].as_f64() > Some(200_000.0), "{seen}");
        assert!(seen["per_second"].as_f64() < Some(400.0), "{seen}");
    }
}
