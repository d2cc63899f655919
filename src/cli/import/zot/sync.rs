//! `extensions.sync`: on demand it is safe at the owner; by the clock it is a second writer.

use crate::cli::import::draft::Draft;
use crate::cli::import::notes::Notes;
use crate::cli::import::tree::Tree;

const REGISTRIES: &[&str] = &["extensions", "sync", "registries"];

/// Keeps on-demand sync with the owner, and stops periodic sync.
pub(super) fn convert(tree: &mut Tree, draft: &mut Draft, notes: &mut Notes) {
    if !tree.is_enabled(&["extensions", "sync"]) {
        return;
    }
    for registry in tree.items_mut(REGISTRIES) {
        if registry.is_true(&["onDemand"]) {
            draft.reads_write = true;
            draft.owner_reads_only = true;
            let line = registry
                .at(&["onDemand"])
                .map_or(registry.line, |on| on.line);
            notes.at(
                line,
                "extensions.sync.registries.onDemand: reading fetches and stores, so only the owner may read \
                 (`reads_write: true`, `owner_down: reject`)",
            );
        }
        let Some(poll) = registry.at(&["pollInterval"]) else {
            continue;
        };
        let renamed = registry.items(&["content"]).iter().any(|content| {
            content.text(&["destination"]).is_some() || content.is_true(&["stripPrefix"])
        });
        let cluster = if renamed {
            "`shardlet export zot-cluster` cannot help here: destination and stripPrefix rename what zot hashes"
        } else {
            "or keep a `cluster` block for it, see `shardlet export zot-cluster`"
        };
        let line = poll.line;
        notes.at(
            line,
            format!(
                "extensions.sync.registries.pollInterval is taken out: every zot would write what it fetches, \
                 whoever owns it; sync on one zot with every synced prefix pinned to its member; {cluster}"
            ),
        );
        registry.remove(&[], "pollInterval");
    }
}
