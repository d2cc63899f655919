//! The folder with the members' configuration and certificates: temporary, unless it is kept.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::DemoError;

/// For private keys: nobody but the owner.
const SECRET: u32 = 0o600;
/// For everything else.
const PUBLIC: u32 = 0o644;
/// A temporary folder is nobody else's business.
const PRIVATE_FOLDER: u32 = 0o700;

/// Removes itself when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    keep: bool,
}

impl Folder {
    /// The folder to keep, which must be new or empty, or a temporary one.
    pub(super) fn open(keep: Option<&Path>) -> Result<Self, DemoError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| DemoError::Folder { path, error }
        };
        let Some(root) = keep else {
            let root = temporary_name().map_err(failed(&std::env::temp_dir()))?;
            // Fails if it exists: nobody can have prepared it for us.
            DirBuilder::new()
                .mode(PRIVATE_FOLDER)
                .create(&root)
                .map_err(failed(&root))?;
            return Ok(Self { root, keep: false });
        };
        fs::create_dir_all(root).map_err(failed(root))?;
        if fs::read_dir(root).map_err(failed(root))?.next().is_some() {
            return Err(DemoError::NotEmpty(root.to_owned()));
        }
        Ok(Self {
            root: root.to_owned(),
            keep: true,
        })
    }

    /// The path of a file in it.
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where it is, if it will stay.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.keep.then_some(self.root.as_path())
    }

    /// Writes a file, with the folders on its way.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        self.write_as(name, text, PUBLIC)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        self.write_as(name, text, SECRET)
    }

    fn write_as(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, DemoError> {
        let path = self.path(name);
        let write = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&path)?;
            file.write_all(text.as_bytes())
        };
        write().map_err(|error| DemoError::Folder {
            path: path.clone(),
            error,
        })?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // Left behind at worst, in a folder that the system empties.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

fn temporary_name() -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(std::env::temp_dir().join(format!("shardlet-demo-{:016x}", u64::from_le_bytes(random))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_temporary_folder_is_private_and_goes_away() {
        let folder = Folder::open(None).unwrap();
        let root = folder.root.clone();
        let key = folder.write_secret("one/member.key", "secret").unwrap();
        let again = folder.write_secret("one/member.key", "s").unwrap();
        assert_eq!((mode(&root), mode(&key)), (PRIVATE_FOLDER, SECRET));
        assert_eq!(fs::read_to_string(again).unwrap(), "s");
        assert_eq!(folder.kept(), None);
        drop(folder);
        assert!(!root.exists());
    }

    #[test]
    fn a_kept_folder_stays_and_overwrites_nothing() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("new/demo");
        let folder = Folder::open(Some(&root)).unwrap();
        folder.write("ca.crt", "certificate").unwrap();
        drop(folder);
        assert_eq!(
            fs::read_to_string(root.join("ca.crt")).unwrap(),
            "certificate"
        );
        assert!(matches!(
            Folder::open(Some(&root)),
            Err(DemoError::NotEmpty(_))
        ));
    }
}
