//! CPU time of other processes, as the scheduler counts it: to the nanosecond, for all of their threads.

use std::fs;
use std::time::Duration;

use crate::client::Failure;

/// The processes whose time is read. Threads that end meanwhile take theirs along.
#[derive(Debug)]
pub(crate) struct Watch(Vec<u32>);

impl Watch {
    pub(crate) fn new(processes: Vec<u32>) -> Self {
        Self(processes)
    }

    pub(crate) fn cpu_time(&self) -> Result<Duration, Failure> {
        let mut nanos = 0;
        for process in &self.0 {
            for thread in fs::read_dir(format!("/proc/{process}/task"))? {
                // A thread may end between the listing and the look at it.
                if let Ok(line) = fs::read_to_string(thread?.path().join("schedstat")) {
                    nanos += first_number(&line).ok_or("schedstat is not as expected")?;
                }
            }
        }
        Ok(Duration::from_nanos(nanos))
    }
}

fn first_number(line: &str) -> Option<u64> {
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_is_counted() {
        let watch = Watch::new(vec![std::process::id()]);
        let before = watch.cpu_time().expect("this process");
        let since = Instant::now();
        while watch.cpu_time().expect("this process") < before + Duration::from_millis(20) {
            assert!(since.elapsed() < Duration::from_secs(60), "no time passes");
        }
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Watch::new(vec![u32::MAX]).cpu_time().is_err());
    }
}
