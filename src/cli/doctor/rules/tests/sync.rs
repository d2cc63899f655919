//! Whoever syncs, and by what.

use super::*;

const REJECT: &str = "reads: { owner_down: reject, blobs: owner }\n";

/// A zot that syncs, with these contents.
fn sync(more: &str, contents: &str) -> String {
    let registry = format!("{{ \"urls\": [\"http://u\"], {more}, \"content\": [{contents}] }}");
    let section =
        format!(",\n\"extensions\": {{ \"sync\": {{ \"registries\": [{registry}] }} }}\n}}");
    let open = ZOT.strip_suffix("\n}").unwrap();
    format!("{open}{section}")
}

const POLL: &str = "\"pollInterval\": \"6h\"";
const MIRROR: &str = "{ \"prefix\": \"/mirror/**\" }";

#[test]
fn sync_on_demand_is_the_owners_alone() {
    let text = sync("\"onDemand\": true", MIRROR);
    spoilt(
        Kind::SyncOnDemand,
        "zot-1.json:5",
        "syncs on demand",
        |facts| {
            facts.replicas = vec![replica("zot-1", &text)];
        },
    );
    let config = configured(&format!("{PROXY}{REJECT}"));
    let mut facts = good(&config);
    facts.replicas = vec![replica("zot-1", &text), replica("zot-2", &text)];
    assert_eq!(diagnose(&facts), []);
}

#[test]
fn sync_by_the_clock_is_pinned() {
    let config = configured(PROXY);
    let mut facts = good(&config);
    for (contents, pinned) in [
        (MIRROR, true),
        ("{ \"prefix\": \"mirror/app\" }", true),
        (
            "{ \"prefix\": \"up/**\", \"destination\": \"/mirror\", \"stripPrefix\": true }",
            true,
        ),
        (
            "{ \"prefix\": \"up/**\", \"destination\": \"/mirror\" }",
            true,
        ),
        ("{ \"prefix\": \"mirror*\" }", false),
        (
            "{ \"prefix\": \"mirror/**\", \"stripPrefix\": true }",
            false,
        ),
        ("{ \"prefix\": \"**\" }", false),
        ("{ \"prefix\": \"team/app\" }", false),
        ("", false),
    ] {
        facts.replicas = vec![replica("zot-1", &sync(POLL, contents))];
        let findings = diagnose(&facts);
        let wanted: &[Kind] = if pinned { &[] } else { &[Kind::SyncUnpinned] };
        assert_eq!(kinds(&findings), wanted, "{contents}");
    }
    // Pinned, and to another member.
    facts.replicas = vec![replica("zot-2", &sync(POLL, MIRROR))];
    found(
        &facts,
        Kind::SyncUnpinned,
        "zot-2.json:5",
        "pinned to zot-2",
    );
    // A longer pin below leads elsewhere.
    let config =
        configured(&PROXY.replace("pins: [", "pins: [{ prefix: mirror/team, member: zot-2 }, "));
    let mut facts = good(&config);
    facts.replicas = vec![replica("zot-1", &sync(POLL, MIRROR))];
    assert_eq!(kinds(&diagnose(&facts)), [Kind::SyncUnpinned]);
    // On all, as one configuration for all has it.
    let everything = sync(POLL, "{ \"prefix\": \"**\" }");
    facts.replicas = vec![replica("zot-1", &everything), replica("zot-2", &everything)];
    assert_eq!(
        kinds(&diagnose(&facts)),
        [Kind::SyncSeveral, Kind::SyncSeveral]
    );
}

/// A `cluster` block in front of the rest.
fn block(text: &str, members: &str, key: &str) -> String {
    let block = format!("{{\n\"cluster\": {{ \"members\": [{members}], \"hashKey\": \"{key}\" }},");
    text.replacen('{', &block, 1)
}

const SAFE: &str = "\"127.0.0.1:5001\", \"192.0.2.1:2\"";
const CLIENTS: &str = "\"10.0.0.1:5000\", \"10.0.0.2:5000\"";
const KEY: &str = "loremipsumdolors";

/// Under which a block is safe.
fn safe() -> String {
    let unpinned = PROXY.replace("pins: [{ prefix: mirror, member: zot-1 }]", "");
    format!("{unpinned}{REJECT}")
}

/// Exactly this is found of one zot with a block.
fn found_of(proxy: &str, zot: &str, kind: Kind, says: &str) {
    let config = configured(proxy);
    let mut facts = good(&config);
    facts.replicas = vec![replica("zot-1", zot)];
    found(&facts, kind, "zot-1.json:2", says);
}

#[test]
fn a_cluster_block_is_for_periodic_sync_alone() {
    let synced = sync(POLL, MIRROR);
    let config = configured(&safe());
    let mut facts = good(&config);
    facts.replicas = vec![replica("zot-1", &block(&synced, SAFE, KEY))];
    assert_eq!(diagnose(&facts), []);
    let needless = block(ZOT, SAFE, KEY);
    found_of(
        &safe(),
        &needless,
        Kind::ZotCluster,
        "it has a cluster block",
    );
    for text in [ZOT, &synced] {
        let zot = block(text, CLIENTS, KEY);
        found_of(&safe(), &zot, Kind::ZotClusterLoop, "client listeners");
    }
}

#[test]
fn a_cluster_block_is_that_of_the_export() {
    let synced = sync(POLL, MIRROR);
    let content = "{ \"prefix\": \"/mirror/**\", \"destination\": \"/a\" }";
    let swapped = "\"192.0.2.1:1\", \"127.0.0.1:5001\"";
    for (zot, says) in [
        (
            block(&synced, "\"127.0.0.1:5001\"", KEY),
            "there are 2 members",
        ),
        (
            block(&synced, swapped, KEY),
            "own entry must be 127.0.0.1:5001",
        ),
        (block(&synced, SAFE, "dolorsloremipsum"), "cluster.hashKey"),
        (block(&sync(POLL, content), SAFE, KEY), "renames"),
    ] {
        found_of(&safe(), &zot, Kind::ZotClusterUnsafe, says);
    }
}

#[test]
fn a_cluster_block_goes_with_these_settings_alone() {
    let zot = block(&sync(POLL, MIRROR), SAFE, KEY);
    for (proxy, says) in [
        (
            safe().replace("placement: zot", "placement: rendezvous"),
            "placement: zot",
        ),
        (format!("{PROXY}{REJECT}"), "the pin mirror/"),
        (safe().replace("reject", "fallback"), "owner_down: reject"),
        (safe().replace("blobs: owner", "blobs: any"), "blobs: owner"),
    ] {
        found_of(&proxy, &zot, Kind::ZotClusterUnsafe, says);
    }
}
