//! `storage`: one storage for all replicas, and nothing in it that writes behind the owner's back.

use crate::cli::import::draft::Draft;
use crate::cli::import::notes::Notes;
use crate::cli::import::tree::{Tree, Value};

/// Turns garbage collection and deduplication off, in all sub-paths too.
pub(super) fn convert(tree: &mut Tree, draft: &mut Draft, notes: &mut Notes) {
    let subpaths = tree
        .at(&["storage", "subPaths"])
        .map(Tree::entries)
        .unwrap_or_default();
    let subpaths: Vec<String> = subpaths.iter().map(|(name, _)| name.clone()).collect();
    turn_off(tree, &["storage"], "storage", notes);
    for name in &subpaths {
        turn_off(
            tree,
            &["storage", "subPaths", name],
            &format!("storage.subPaths.{name}"),
            notes,
        );
    }
    let Some(storage) = tree.at(&["storage"]) else {
        return;
    };
    if storage.at(&["storageDriver"]).is_none() {
        draft.owner_reads_only = true;
        notes.at(
            storage.line,
            "storage without storageDriver is a local folder: unless all zots share it, reads cannot fall back to \
             another replica (`owner_down: reject`), a repository that moves is not found by its new owner, and a \
             list of repositories has one zot's alone",
        );
    } else if storage.at(&["cacheDriver"]).is_none()
        && storage
            .text(&["remoteCache"])
            .is_none_or(|remote| remote != "false")
    {
        notes.at(storage.line, "storage.storageDriver without cacheDriver: replicas that share a storage share a cache (Redis or DynamoDB), or have `remoteCache: false`");
    }
    if draft.members.len() > 1
        && let Some(name) = subpaths.iter().find(|name| {
            let path = ["storage", "subPaths", name.as_str()];
            storage.at(&["storageDriver"]).is_some()
                && tree
                    .at(&path)
                    .is_some_and(|sub| sub.at(&["storageDriver"]).is_none())
        })
    {
        let line = tree
            .at(&["storage", "subPaths", name])
            .map_or(1, |sub| sub.line);
        notes.at(line, format!("storage.subPaths.{name} has no storageDriver: it is a local folder, which replicas do not share"));
        draft.owner_reads_only = true;
    }
}

fn turn_off(tree: &mut Tree, path: &[&str], shown: &str, notes: &mut Notes) {
    let Some(section) = tree.at(path) else {
        return;
    };
    let off = |key: &str| section.text(&[key]).is_some_and(|text| text == "false");
    let line = |key: &str| section.at(&[key]).map_or(section.line, |value| value.line);
    if !off("gc") {
        notes.at(
            line("gc"),
            format!(
                "{shown}.gc becomes false: collecting rewrites the index of every repository on every replica, \
                 which is a second writer; collect on one, while nobody pushes"
            ),
        );
    }
    if section.at(&["retention"]).is_some() {
        notes.at(
            line("retention"),
            format!(
                "{shown}.retention runs with garbage collection: nothing is deleted by it any more"
            ),
        );
    }
    if !off("dedupe") {
        notes.at(
            line("dedupe"),
            format!("{shown}.dedupe becomes false: it links blobs across repositories, which have different owners"),
        );
    }
    for key in ["gc", "dedupe"] {
        tree.set(path, key, Value::Plain("false".to_owned()));
    }
    // Without collection zot has no use for them.
    for key in [
        "gcDelay",
        "gcInterval",
        "gcTimeWindow",
        "gcMaxSchedulerDelay",
        "retention",
    ] {
        tree.remove(path, key);
    }
}
