//! The socket that commands are taken at: a file that only the member's own user and root may open,
//! wherever they come from. An address tells nothing of the kind: meshes and port forwarding make
//! strangers look local.

use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use pingora::server::ShutdownWatch;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::http::Gate;
use crate::http::client::End;
use crate::http::wire::Wire;
use crate::operate::serve::AdminApp;

/// Where a service belongs that is started by the system.
const SYSTEM_FOLDER: &str = "/run/shardlet";
/// Folders of our own are closed to others, and so are the sockets in them.
const FOLDER_MODE: u32 = 0o700;
const SOCKET_MODE: u32 = 0o600;
/// Connections at a time: people and their scripts.
const CONNECTIONS: usize = 32;
/// After a failed accept others get this long to finish.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const IN_USE: &str = "another process listens there";

/// A bound socket; its file goes with it.
pub(super) struct CommandSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file, known by its inode: another process may have put its own in the same place.
struct SocketFile {
    path: PathBuf,
    inode: u64,
    owner: u32,
    /// Let go last.
    _lock: File,
}

impl CommandSocket {
    /// Binds at a path that the operator has named.
    ///
    /// # Errors
    /// Another process listens there, something else than a socket is there, or the system refuses.
    pub(super) fn at(path: &Path) -> Result<Self> {
        // It is told to others, who may be in another folder.
        let path = std::path::absolute(path)?;
        let lock = lock(&path)?;
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(SOCKET_MODE))?;
        let found = fs::symlink_metadata(&path)?;
        let file = SocketFile {
            path,
            inode: found.ino(),
            owner: found.uid(),
            _lock: lock,
        };
        Ok(Self { listener, file })
    }

    /// Binds in the first usual folder that lets us, under the name of the admin listener's address:
    /// no two members of one machine have the same.
    ///
    /// # Errors
    /// None does; the last one's reason.
    pub(super) fn for_admin(address: SocketAddr) -> Result<Self> {
        let mut last = Error::new(ErrorKind::NotFound, "there is no usual folder");
        for folder in usual_folders() {
            let made = DirBuilder::new().mode(FOLDER_MODE).create(&folder);
            match made {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => last = error,
                _ => match Self::at(&folder.join(format!("{address}.sock"))) {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = error,
                },
            }
        }
        Err(last)
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves commands for ever.
    pub(super) async fn serve(self, gate: Gate<AdminApp>, shutdown: ShutdownWatch) {
        let Self { listener, file } = self;
        let (gate, places) = (Arc::new(gate), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) if file.admits(&stream) => stream,
                // Between the bind and the change of its mode anybody may have come.
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "accept failed at the command socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (gate, shutdown) = (gate.clone(), shutdown.clone());
            tokio::spawn(async move {
                let _place = place;
                // HTTP/1, which is not cut for abuse.
                let deadline = Instant::now() + gate.limits().request_header;
                let _ = gate
                    .serve(Wire::Unix(stream), &End::default(), deadline, &shutdown)
                    .await;
            });
        }
    }
}

impl SocketFile {
    /// Whether the kernel says that the member's own user, or root, is at the other end.
    fn admits(&self, stream: &UnixStream) -> bool {
        let credentials = stream.peer_cred();
        credentials.is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| found.ino() == self.inode) {
            // Whoever comes next removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the path ours for as long as the file is open: of two processes that both find the socket of
/// one that is gone, the later would remove the other's. The file itself stays: whoever removed it
/// could remove another's.
fn lock(socket: &Path) -> Result<File> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let named = |kind, what: &dyn Display| {
        let path = Path::new(&path).display();
        Error::new(kind, format!("{what} ({path})"))
    };
    let file = options.mode(SOCKET_MODE).open(&path);
    let file = file.map_err(|error| named(error.kind(), &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(named(ErrorKind::AddrInUse, &IN_USE)),
        Err(TryLockError::Error(error)) => Err(named(error.kind(), &error)),
    }
}

/// Removes the socket of a process that is gone.
fn remove_stale(path: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "something else than a socket is there",
        ));
    }
    match BlockingStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(ErrorKind::AddrInUse, IN_USE)),
    }
}

/// Where sockets belong, best first: what systemd gives the service, what a system service has by
/// custom, what a person has.
fn usual_folders() -> impl Iterator<Item = PathBuf> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    let given = named("RUNTIME_DIRECTORY").map(PathBuf::from);
    let own = named("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("shardlet"));
    let system = Some(PathBuf::from(SYSTEM_FOLDER));
    [given, system, own].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("shardlet-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn the_socket_is_closed_to_others_and_goes_with_its_process() {
        let folder = folder("mode");
        let path = folder.join("admin.sock");
        let socket = CommandSocket::at(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        drop(socket);
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_process_between_its_look_and_its_socket_is_not_overtaken() {
        let folder = folder("race");
        let path = folder.join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        // As far as the first has come: the stale socket is seen, nothing is bound.
        let first = lock(&path).unwrap();
        let refused = CommandSocket::at(&path).err().unwrap();
        let lock_file = folder.join("admin.sock.lock");
        assert_eq!(
            refused.to_string(),
            format!("{IN_USE} ({})", lock_file.display())
        );
        assert!(path.exists(), "it removed nothing");
        drop(first);
        drop(CommandSocket::at(&path).unwrap());
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else() {
        let folder = folder("stale");
        let path = folder.join("admin.sock");
        // As a process leaves it that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = CommandSocket::at(&path).unwrap();
        let refused = CommandSocket::at(&path).err().unwrap();
        assert!(refused.to_string().starts_with(IN_USE), "{refused}");
        assert!(path.exists());
        // The next process's file is not removed with the one before.
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.join("admin.sock.lock")).unwrap();
        let next = CommandSocket::at(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(next);

        fs::write(&path, "precious").unwrap();
        let refused = CommandSocket::at(&path).err().unwrap();
        assert_eq!(refused.to_string(), "something else than a socket is there");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_dir_all(folder).unwrap();
    }
}
