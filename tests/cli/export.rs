//! `export zot-cluster`: the block for each zot, and what is refused.

use super::{run, write};

const SAFE: &str = "registry: { address: 127.0.0.1:5001 }\n\
                    cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  placement: zot\n  members:\n    \
                    - { id: a, address: a:5443 }\n    - { id: b, address: b:5443 }\n    - { id: c, address: c:5443 }\n\
                    reads: { owner_down: reject, blobs: owner }\n";

fn zot(content: &str) -> String {
    format!(
        "{{\"http\": {{}}, \"extensions\": {{\"sync\": {{\"registries\": [\n\
         {{\"onDemand\": true, \"content\": [{{\"prefix\": \"**\", \"destination\": \"/x\"}}]}},\n\
         {{\"pollInterval\": \"6h\", \"content\": [{content}]}}\n]}}}}}}\n"
    )
}

#[test]
fn each_zot_finds_itself_at_its_place_and_never_calls_another() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "proxy.yaml", SAFE);
    let zot = write(
        folder.path(),
        "zot.json",
        &zot("{\"prefix\": \"/mirror/**\"}"),
    );
    let pinned = SAFE.replace("\nreads", "\n  pins: [{ prefix: team, member: a }]\nreads");
    for text in [SAFE, &pinned] {
        std::fs::write(&config, text).unwrap();
        let arguments = [
            "export",
            "zot-cluster",
            "-c",
            config.to_str().unwrap(),
            "--registry-config",
            zot.to_str().unwrap(),
        ];
        let (code, out, err) = run(&arguments);
        assert_eq!((code, err.as_str()), (0, ""));
        let blocks: serde_json::Value = serde_json::from_str(&out).unwrap();
        let block = |members: [&str; 3]| serde_json::json!({ "cluster": { "members": members, "hashKey": "loremipsumdolors" } });
        let expected = serde_json::json!({
            "a": block(["127.0.0.1:5001", "192.0.2.1:2", "192.0.2.1:3"]),
            "b": block(["192.0.2.1:1", "127.0.0.1:5001", "192.0.2.1:3"]),
            "c": block(["192.0.2.1:1", "192.0.2.1:2", "127.0.0.1:5001"]),
        });
        assert_eq!(blocks, expected);
    }
    let (code, _, err) = run(&[
        "export",
        "zot-cluster",
        "-c",
        write(folder.path(), "proxy.yaml", SAFE).to_str().unwrap(),
    ]);
    assert_eq!(code, 0);
    assert!(err.contains("must have no `destination`"), "{err}");
}

#[test]
fn a_configuration_under_which_owners_differ_is_refused() {
    let safe = zot("{\"prefix\": \"/mirror/**\"}");
    let cases = [
        (
            SAFE.replace("placement: zot", "placement: rendezvous"),
            Some(safe.clone()),
            "it takes `cluster.placement: zot`",
        ),
        (
            SAFE.replace("owner_down: reject", "owner_down: fallback"),
            Some(safe.clone()),
            "it takes `reads.owner_down: reject`",
        ),
        (
            SAFE.replace("blobs: owner", "blobs: any"),
            Some(safe.clone()),
            "it takes `reads.blobs: owner`",
        ),
        (
            SAFE.replace("127.0.0.1:5001", "unix:/run/zot.sock"),
            Some(safe.clone()),
            "`registry.address` is a socket",
        ),
        (
            SAFE.replace("loremipsumdolors", "ff000000000000000000000000000000"),
            Some(safe.clone()),
            "zot's hashKey is text",
        ),
        (
            SAFE.to_owned(),
            Some("{".to_owned()),
            "neither JSON nor YAML",
        ),
    ];
    refused(&cases);
}

#[test]
fn names_that_zot_would_place_elsewhere_are_refused() {
    let safe = zot("{\"prefix\": \"/mirror/**\"}");
    let pins = |prefix: &str| {
        SAFE.replace(
            "\nreads",
            &format!("\n  pins: [{{ prefix: {prefix}, member: a }}]\nreads"),
        )
    };
    let cases = [
        (
            pins("mirror/a"),
            Some(safe.clone()),
            "the pin mirror/a/ is over names that are synced (mirror/**)",
        ),
        (
            pins("mirror"),
            Some(safe.clone()),
            "the pin mirror/ is over names that are synced",
        ),
        (
            pins("team"),
            Some(zot("{\"prefix\": \"**\"}")),
            "the pin team/ is over names that are synced (**)",
        ),
        (
            pins("team"),
            Some(zot("")),
            "the pin team/ is over names that are synced (**)",
        ),
        (
            pins("team"),
            None,
            "the pin team/ may be over names that are synced",
        ),
        (
            SAFE.to_owned(),
            Some(zot("{\"prefix\": \"a\", \"destination\": \"/b\"}")),
            "line 3 of the zots' configuration renames",
        ),
        (
            SAFE.to_owned(),
            Some(zot("{\"prefix\": \"a/**\", \"stripPrefix\": true}")),
            "renames what it syncs",
        ),
    ];
    refused(&cases);
}

/// Cases of proxy.yaml, zot's configuration and the reason.
fn refused(cases: &[(String, Option<String>, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    for (text, zot, reason) in cases {
        let config = write(folder.path(), "proxy.yaml", text);
        let mut arguments = vec!["export", "zot-cluster", "-c", config.to_str().unwrap()];
        let file = folder.path().join("zot.json");
        if let Some(zot) = zot {
            std::fs::write(&file, zot).unwrap();
            arguments.extend(["--registry-config", file.to_str().unwrap()]);
        }
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{reason}");
        assert!(
            err.contains(reason) && !err.contains("loremipsum"),
            "{reason}: {err}"
        );
        assert_eq!(err.lines().count(), 1, "one reason alone: {err}");
    }
}
