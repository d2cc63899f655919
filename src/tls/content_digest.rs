//! A digest over the contents of files, to see that one of them has changed: renewals by rename, by
//! symlink swap (Kubernetes) and in place all change the content, and none of them is seen by every
//! kind of file watch.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

/// What is read of each file, in bytes: more than any of ours may have.
const MOST: u64 = 2 * 1024 * 1024;

/// What the files hold now. One that cannot be read counts as empty. May block.
pub(crate) fn content_digest(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for path in paths {
        let mut content = Vec::new();
        if let Ok(file) = File::open(path) {
            // What was read up to an error is a content like any other.
            let _ = file.take(MOST).read_to_end(&mut content);
        }
        context.update(&(content.len() as u64).to_le_bytes());
        context.update(&content);
    }
    let mut content_digest = [0; 32];
    content_digest.copy_from_slice(context.finish().as_ref());
    content_digest
}

/// The same, away from the tasks that serve requests: a file system may hang.
pub(crate) async fn content_digest_in_background(paths: Vec<PathBuf>) -> [u8; 32] {
    let content_digest = tokio::task::spawn_blocking(move || content_digest(&paths));
    content_digest.await.unwrap_or_default()
}
