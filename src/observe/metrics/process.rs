//! What is said about this process as a whole: by the kernel, read from /proc when metrics are asked
//! for, and by its libraries, which know no member.

use super::cells::{Maker, each, series};
use super::labels::Library;
use super::table;
use prometheus::{Counter, IntCounter, IntGauge, Result};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

static LIBRARY_WARNINGS: [AtomicU64; Library::ALL.len()] =
    [const { AtomicU64::new(0) }; Library::ALL.len()];

/// A library has complained of what somebody sends.
pub(crate) fn library_warned(library: Library) {
    LIBRARY_WARNINGS[library as usize].fetch_add(1, Ordering::Relaxed);
}

/// How often it has.
pub(crate) fn library_warnings(library: Library) -> u64 {
    LIBRARY_WARNINGS[library as usize].load(Ordering::Relaxed)
}

/// Ticks per second in /proc/self/stat: `USER_HZ`, which Linux fixes at 100 for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process metrics; the kernel's stay at zero where there is no /proc.
pub(super) struct Process {
    cpu: Mutex<Counter>,
    library_warnings: Mutex<Vec<IntCounter>>,
    memory: IntGauge,
    fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
}

impl Process {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let gauge = |spec| series(&make.int_gauge(spec)?, []);
        let warnings = make.int_counter(table::LIBRARY_WARNINGS)?;
        let warnings = each(Library::ALL, |library| {
            series(&warnings, [library.as_str()])
        })?;
        Ok(Self {
            cpu: Mutex::new(series(&make.counter(table::PROCESS_CPU)?, [])?),
            library_warnings: Mutex::new(warnings),
            memory: gauge(table::PROCESS_MEMORY)?,
            fds: gauge(table::PROCESS_FDS)?,
            max_fds: gauge(table::PROCESS_MAX_FDS)?,
            threads: gauge(table::PROCESS_THREADS)?,
        })
    }

    /// Reads the present values.
    pub(super) fn refresh(&self) {
        let counters = self.library_warnings.lock();
        let counters = counters.unwrap_or_else(PoisonError::into_inner);
        for (counter, library) in counters.iter().zip(Library::ALL) {
            counter.inc_by(library_warnings(*library).saturating_sub(counter.get()));
        }
        drop(counters);
        if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
            // Two scrapes at once must not both add the same difference.
            let cpu = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
            cpu.inc_by((seconds - cpu.get()).max(0.0));
        }
        if let Some(status) = read("status") {
            set(
                &self.memory,
                number_after(&status, "VmRSS:").map(|kib| kib * 1024),
            );
            set(&self.threads, number_after(&status, "Threads:"));
        }
        if let Some(limits) = read("limits") {
            set(&self.max_fds, number_after(&limits, "Max open files"));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The listing itself holds one descriptor.
            set(
                &self.fds,
                i64::try_from(entries.count().saturating_sub(1)).ok(),
            );
        }
    }
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{file}")).ok()
}

fn set(gauge: &IntGauge, value: Option<i64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// User and system time; the command in parentheses may hold spaces, so count from its end.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // proc(5): utime and stime are fields 14 and 15; the first after the command is field 3.
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn number_after(text: &str, key: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_strange_command_name() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 4 9 0 0 0 250 50 0 0 20 0 3 0 99";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn numbers_follow_their_key() {
        let limits = "Limit  Soft  Hard\nMax open files            1024                 4096\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(
            number_after("Max open files unlimited", "Max open files"),
            None
        );
        assert_eq!(number_after("VmRSS:\t  12 kB", "VmRSS:"), Some(12));
    }
}
