//! The files of `--write`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::draft::Draft;
use crate::cli::output as terminal;
use crate::config::SourceName;

const KEY_FILE: &str = "hash.key";

/// Writes everything, or nothing where a file is there already. Prints what it has written.
pub(super) fn write(
    folder: &Path,
    draft: &Draft,
    registry: Option<(&str, String)>,
    source: &SourceName,
) -> Result<(), String> {
    let (proxy, key) = draft.render_with_key_file(source, KEY_FILE);
    let mut files = vec![("proxy.yaml", proxy, 0o644), (KEY_FILE, key, 0o600)];
    files.extend(registry.map(|(name, text)| (name, text, 0o644)));
    let failed = |path: &Path, error: io::Error| format!("shardlet: {}: {error}\n", path.display());
    for (name, _, _) in &files {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            let path = path.display();
            return Err(format!(
                "shardlet: {path} is there already, and nothing was written\n"
            ));
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (name, text, mode) in &files {
        let path = folder.join(name);
        let written = create(&path, *mode).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(&path, error))?;
        terminal::result(&format!("{}\n", path.display()));
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}
