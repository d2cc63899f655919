//! This machine, as configuration sees it: its files, addresses, names and environment.
//!
//! All I/O that reading a configuration takes, so that [`crate::config`] itself can be pure.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::output;
use crate::config::identity::{NAME_IT, Resolved, Unidentified};
use crate::config::{
    self, ADDRESS_VARIABLE, Config, Environment, Files, HASH_KEY_VARIABLE, MEMBER_VARIABLE,
    Problems, SourceName, Surroundings,
};

/// How long all look-ups of the start may take together.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most look-ups at the same time.
const RESOLVE_THREADS: usize = 16;
/// From one look for the local member to the next, while names do not resolve.
const AGAIN: Duration = Duration::from_secs(1);
/// So many looks go by before it is said again that it is still waited for.
const SAID_EVERY: u32 = 60;

/// Whether a command needs to know which member this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It does; looks at this machine's addresses if nothing names the member.
    Needed,
    /// It does, and waits for names that do not resolve yet.
    Awaited,
    /// It works anywhere; the first member stands in if nothing names one.
    Offline,
    /// As offline, and files that are missing here are no problem.
    Elsewhere,
}

/// Reads a configuration with the files, environment and addresses of this machine.
///
/// Blocks for as long as files and, at most a few seconds, names take.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub(crate) fn load(
    source: &SourceName,
    member: Option<&str>,
    identity: Identity,
) -> Result<Config, Problems> {
    let text = text(source)?;
    let member_variable = variable(MEMBER_VARIABLE);
    let member_variable = member_variable
        .as_ref()
        .map(|value| value.to_string_lossy());
    let address = variable(ADDRESS_VARIABLE);
    let address = address.as_ref().map(|value| value.to_string_lossy());
    let hash_key = variable(HASH_KEY_VARIABLE);
    let surroundings: Option<&dyn Surroundings> = match identity {
        Identity::Needed => Some(&Machine),
        Identity::Awaited => Some(&Patient),
        Identity::Offline | Identity::Elsewhere => None,
    };
    let env = Environment {
        member_flag: member,
        member_variable: member_variable.as_deref(),
        address: address.as_deref(),
        hash_key: hash_key.as_ref().map(|value| value.as_bytes()),
        files: &Machine,
        surroundings,
        elsewhere: identity == Identity::Elsewhere,
    };
    config::load(&text, source, &env)
}

/// The text of a file, no longer than a configuration may be.
///
/// # Errors
/// A file that cannot be read, or is no text.
pub(crate) fn text(source: &SourceName) -> Result<String, Problems> {
    let bytes = match source {
        SourceName::File(path) => Machine.read(path, config::MAX_FILE_BYTES),
        SourceName::Stdin => read_at_most(io::stdin().lock(), config::MAX_FILE_BYTES),
    };
    let bytes = bytes.map_err(|error| Problems::unreadable(source, &error))?;
    String::from_utf8(bytes).map_err(|error| Problems::no_text(source, &error))
}

/// An environment variable. Empty counts as unset: compose files cannot tell the two apart.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// This machine.
struct Machine;

impl Files for Machine {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        read_at_most(File::open(path)?, limit)
    }
}

fn read_at_most(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let take = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.take(take).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let message = format!("larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

impl Surroundings for Machine {
    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let interfaces = if_addrs::get_if_addrs()?;
        Ok(interfaces
            .into_iter()
            .map(|interface| interface.ip())
            .collect())
    }

    fn host_name(&self) -> io::Result<String> {
        let name = rustix::system::uname()
            .nodename()
            .to_str()
            .map(str::to_owned);
        name.map_err(io::Error::other)
    }

    fn resolve(&self, names: &[&str]) -> Resolved {
        let queue: VecDeque<String> = names.iter().map(|&name| name.to_owned()).collect();
        let threads = queue.len().min(RESOLVE_THREADS);
        let queue = Arc::new(Mutex::new(queue));
        let (answers, received) = mpsc::channel();
        for _ in 0..threads {
            let (queue, answers) = (Arc::clone(&queue), answers.clone());
            // Not joined: the system's resolver cannot be told to stop, and may take its time.
            thread::spawn(move || {
                while let Some(name) = next(&queue) {
                    let answer = look_up(&name);
                    if answers.send((name, answer)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(answers);
        let deadline = Instant::now() + RESOLVE_TIMEOUT;
        let mut resolved = Resolved::new();
        while let Ok((name, answer)) =
            received.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            resolved.insert(name, answer);
        }
        resolved
    }
}

/// This machine at the start of a member, whose name may be published after it has started.
struct Patient;

impl Surroundings for Patient {
    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        Machine.addresses()
    }

    fn host_name(&self) -> io::Result<String> {
        Machine.host_name()
    }

    fn resolve(&self, names: &[&str]) -> Resolved {
        Machine.resolve(names)
    }

    fn wait_for_names(&self, looks: u32, why: &Unidentified) -> bool {
        if looks.is_multiple_of(SAID_EVERY) {
            output::message(&format!(
                "shardlet: waiting for names to resolve ({why}); {NAME_IT} to start without\n"
            ));
        }
        thread::sleep(AGAIN);
        true
    }
}

fn next(queue: &Mutex<VecDeque<String>>) -> Option<String> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    let addresses = (name, 0)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    Ok(addresses.map(|address| address.ip()).collect())
}
