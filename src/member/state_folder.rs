//! What a process knew, kept over its own restart: `cluster.state`.
//!
//! Without it, a whole fleet that starts waits for `timeouts.aftermath`, since nobody knows what the
//! processes before were writing. The lock proves that the process before is gone; the file is
//! written before anything is done that it does not tell of.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::member::replica::boot_id;
use crate::shard::ownership::Memory;

const LOCK: &str = "lock";
const FILE: &str = "ownership.json";
const HOLDER: &str = "lease.json";
const NEW_FILE: &str = "ownership.json.new";
/// Time since the boot, sleep included, of the machine (Linux, proc(5)).
const UPTIME: &str = "/proc/uptime";

/// A folder that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct StateFolder {
    folder: PathBuf,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    member: String,
    boot: String,
    /// When its process was last there, in milliseconds of this boot.
    alive_ms: u64,
    memory: Memory,
}

#[derive(Serialize, Deserialize)]
struct Holder {
    member: String,
    boot: String,
    process: u64,
}

impl StateFolder {
    /// Takes the folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder that cannot be used, or is in use by another process.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another process uses it"),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// What the process before knew, and for how long nobody was there. None where that says
    /// nothing: another member's, of another boot of the machine, or not readable.
    pub(crate) fn load(&self, member: &str) -> Option<(Memory, Duration)> {
        let text = fs::read(self.folder.join(FILE)).ok()?;
        let saved: Saved = serde_json::from_slice(&text).ok()?;
        let away = uptime()?.checked_sub(Duration::from_millis(saved.alive_ms))?;
        let is_ours = saved.member == member && saved.boot == boot_id() && !saved.boot.is_empty();
        is_ours.then_some((saved.memory, away))
    }

    /// Keeps this for the process after. `durable` where something is about to be done that the
    /// file before does not tell of.
    ///
    /// # Errors
    /// The file system's; then nothing is kept, and the process after waits.
    pub(crate) fn save(&self, member: &str, memory: &Memory, durable: bool) -> io::Result<()> {
        let saved = self.write(member, memory, durable);
        if saved.is_err() {
            // An old one would be worse than none.
            match fs::remove_file(self.folder.join(FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        saved
    }

    /// Where this member holds a lease: which process before this one had the folder, and is gone
    /// since, and with the same boot of the machine. Keeps this one's number for the one after.
    pub(crate) fn succeed(&self, member: &str, process: u64) -> Option<u64> {
        let path = self.folder.join(HOLDER);
        let text = fs::read(&path).ok();
        let before: Option<Holder> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let holder = Holder {
            member: member.to_owned(),
            boot: boot_id().to_owned(),
            process,
        };
        // What it tells of files' views is of another time.
        let _ = fs::remove_file(self.folder.join(FILE));
        let kept = serde_json::to_vec(&holder).map_err(io::Error::other);
        if let Err(error) = kept.and_then(|text| fs::write(&path, text)) {
            let _ = fs::remove_file(&path);
            tracing::warn!(%error, "cluster.state cannot be written: after the next start its lease is waited for");
        }
        let before = before.filter(|before| before.member == member && before.boot == boot_id());
        before
            .filter(|_| !boot_id().is_empty())
            .map(|before| before.process)
    }

    fn write(&self, member: &str, memory: &Memory, durable: bool) -> io::Result<()> {
        let alive = uptime().ok_or_else(|| io::Error::other("no uptime of the machine"))?;
        let text = serde_json::to_vec(&Saved {
            member: member.to_owned(),
            boot: boot_id().to_owned(),
            alive_ms: u64::try_from(alive.as_millis()).unwrap_or(u64::MAX),
            memory: memory.clone(),
        })?;
        let new = self.folder.join(NEW_FILE);
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(new, self.folder.join(FILE))
    }
}

fn uptime() -> Option<Duration> {
    let text = fs::read_to_string(UPTIME).ok()?;
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_by_the_same_member_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("state");
        let first = StateFolder::open(&at).unwrap();
        assert!(first.load("zot-1").is_none());
        let memory = Memory::default();
        first.save("zot-1", &memory, true).unwrap();
        let busy = StateFolder::open(&at).unwrap_err();
        assert_eq!(busy.to_string(), "another process uses it");
        drop(first);

        let next = StateFolder::open(&at).unwrap();
        let (known, away) = next.load("zot-1").unwrap();
        assert!(known == memory && away < Duration::from_secs(60));
        assert!(next.load("zot-2").is_none());
        fs::write(at.join(FILE), "{").unwrap();
        assert!(next.load("zot-1").is_none());
    }
}
