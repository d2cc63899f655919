//! `import`: every sample of zot's documentation and of its repository becomes a proxy.yaml that `check` accepts.

use std::hash::Hasher;
use std::path::{Path, PathBuf};

use regex::Regex;
use siphasher::sip::SipHasher24;

use super::{run, run_with_input, write};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/data");

/// The files of a folder, in order.
fn samples(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(DATA).join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// An import that succeeds: its proxy.yaml and its notes, with `check`'s word that it is right.
fn imported(kind: &str, file: &Path) -> (String, String) {
    let file = file.to_str().unwrap();
    let (code, proxy, notes) = run(&["import", kind, file]);
    assert_eq!(code, 0, "{file}: {notes}");
    let (code, out, err) = run_with_input(&["check", "--elsewhere", "-"], &proxy);
    assert_eq!(code, 0, "{file}: {err}\n{proxy}");
    assert!(out.contains("<stdin> is fine: "), "{out}");
    for note in notes.lines() {
        assert!(note.starts_with(&format!("{file}:")), "{note}");
    }
    (proxy, notes)
}

/// What is new in every run, and where the files are.
fn stable(text: &str) -> String {
    let key = Regex::new("hash_key: '[0-9a-f]{32}'").unwrap();
    key.replace_all(text, "hash_key: 'MADE-UP'")
        .replace(&format!("{DATA}/"), "")
}

fn golden(kind: &str) {
    for file in samples(kind) {
        let (proxy, notes) = imported(kind, &file);
        let name = file
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('.', "_");
        let shown = format!("{proxy}--- notes\n{notes}");
        insta::assert_snapshot!(format!("import_{kind}_{name}"), stable(&shown));
    }
}

#[test]
fn every_configuration_of_zots_documentation_and_repository_is_imported() {
    golden("zot");
}

/// Names of many shapes, the same in every run.
fn names(count: usize) -> Vec<String> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut component = || -> String {
        let length = 1 + next(12);
        (0..length)
            .map(|_| char::from(letters[next(36) as usize]))
            .collect()
    };
    (0..count)
        .map(|number| {
            let depth = 1 + number % 4;
            (0..depth)
                .map(|_| component())
                .collect::<Vec<_>>()
                .join("/")
        })
        .collect()
}

#[test]
fn ten_thousand_names_have_the_owner_that_zot_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let names = names(10_000);
    let ids_of = Regex::new("- \\{ id: ([^,]+),").unwrap();
    let key_of = Regex::new("(?i)\"?hashKey\"?: \"([^\"]{16})\"").unwrap();
    let mut clusters = 0;
    for file in samples("zot") {
        let (proxy, _) = imported("zot", &file);
        if !proxy.contains("placement: zot") {
            continue;
        }
        clusters += 1;
        let ids: Vec<&str> = ids_of
            .captures_iter(&proxy)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        let text = std::fs::read_to_string(&file).unwrap();
        let key: [u8; 16] = key_of.captures(&text).unwrap()[1]
            .as_bytes()
            .try_into()
            .unwrap();
        let config = write(folder.path(), "proxy.yaml", &proxy);
        let arguments = ["owner", "-c", config.to_str().unwrap(), "-"];
        let (code, out, err) = run_with_input(&arguments, &names.join("\n"));
        assert_eq!((code, err.as_str()), (0, ""));
        for (name, line) in names.iter().zip(out.lines()) {
            // zot: the member at SipHash-2-4 of the name modulo their number.
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(name.as_bytes());
            let owner = ids[(hasher.finish() % ids.len() as u64) as usize];
            assert_eq!(line, format!("{name}\t{owner}"), "{}", file.display());
        }
        assert_eq!(out.lines().count(), names.len());
    }
    assert_eq!(clusters, 9, "samples with a cluster block");
}

#[test]
fn written_files_hold_the_key_apart_and_zot_on_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("new");
    let sample = |name: &str| format!("{DATA}/zot/{name}");
    let write = |name: &str| {
        run(&[
            "import",
            "zot",
            &sample(name),
            "--write",
            target.to_str().unwrap(),
        ])
    };
    let (code, out, notes) = write("sync.json");
    assert_eq!(code, 0, "{notes}");
    std::fs::remove_dir_all(&target).unwrap();
    assert_eq!(out.lines().count(), 3);
    let (code, out, notes) = write("scaleout-ui.json");
    assert_eq!(code, 0, "{notes}");
    let files: Vec<String> = ["proxy.yaml", "hash.key", "zot.json"]
        .iter()
        .map(|name| target.join(name).to_str().unwrap().to_owned())
        .collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), files);
    let read = |at: usize| std::fs::read_to_string(&files[at]).unwrap();
    assert_eq!(read(1), "loremipsumdolors\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&files[1]).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    for text in [&read(0), &read(2), &out, &notes] {
        assert!(!text.contains("loremipsumdolors"), "{text}");
    }
    let (code, out, err) = run(&["check", "--elsewhere", &files[0]]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("3 members, placement zot"), "{out}");
    insta::assert_snapshot!("import_written_zot_json", read(2));
    // Nothing is overwritten.
    let (code, out, err) = write("sync.json");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("proxy.yaml is there already, and nothing was written"),
        "{err}"
    );
    assert_eq!(read(1), "loremipsumdolors\n");
}

#[test]
fn periodic_sync_is_taken_out_and_collection_is_off_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let zot = |sample: &str| -> serde_json::Value {
        let target = folder.path().join(sample);
        let file = format!("{DATA}/zot/{sample}");
        let (code, _, err) = run(&["import", "zot", &file, "--write", target.to_str().unwrap()]);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&std::fs::read_to_string(target.join("zot.json")).unwrap()).unwrap()
    };
    let synced = zot("sync.json");
    let registries = synced["extensions"]["sync"]["registries"]
        .as_array()
        .unwrap();
    assert_eq!(registries.len(), 3);
    assert!(
        registries
            .iter()
            .all(|registry| registry.get("pollInterval").is_none())
    );
    assert_eq!(registries[2]["onDemand"], true);
    assert_eq!(registries[0]["content"][0]["tags"]["semver"], true);
    let storage = &zot("subpaths-retention.json")["storage"];
    for section in [
        storage,
        &storage["subPaths"]["/a"],
        &storage["subPaths"]["/b"],
    ] {
        assert_eq!(
            (&section["gc"], &section["dedupe"]),
            (&false.into(), &false.into())
        );
        assert!(section.get("retention").is_none() && section.get("gcInterval").is_none());
    }
}

#[test]
fn a_file_that_is_no_configuration_of_zot_is_refused_without_its_key() {
    let cluster = |members: &str, key: &str| {
        format!(
            "{{\n\"http\": {{}},\n\"cluster\": {{\n\"members\": {members},\n\"hashKey\": \"{key}\"\n}}\n}}\n"
        )
    };
    for (text, place, message) in [
        ("", "", "no configuration of zot"),
        ("[1]", "", "no configuration of zot"),
        ("{\"clutser\": {}}", "", "no configuration of zot"),
        ("{\n\"http\": {\n", ":", "neither JSON nor YAML"),
        (
            &cluster("[]", "loremipsumdolors"),
            ":4",
            "a list of 1 to 1,024",
        ),
        (
            &cluster("[\"a:1\",\n\"b\"]", "loremipsumdolors"),
            ":5",
            "a member is not `host:port`",
        ),
        (
            &cluster("[\"a:1\"]", "loremipsumdolor"),
            ":5",
            "zot needs 16 characters, and these are 15",
        ),
        (
            "{\n\"http\": {},\n\"hashKey\": \"loremipsumdolors\" \"",
            ":",
            "neither JSON nor YAML",
        ),
    ] {
        let (code, out, err) = run_with_input(&["import", "zot", "-"], text);
        assert_eq!((code, out.as_str()), (1, ""), "{text}");
        assert!(
            err.starts_with(&format!("<stdin>{place}")) && err.contains(message),
            "{err}"
        );
        assert!(!err.contains("loremipsum"), "{err}");
    }
    let (code, _, err) = run(&["import", "zot", "/nowhere.json"]);
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere.json: cannot be read"), "{err}");
}

#[test]
fn every_sample_of_haproxy_is_imported() {
    golden("haproxy");
}

#[test]
fn rules_and_pins_name_the_same_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(DATA).join("haproxy/clustering-rules.cfg");
    let (proxy, _) = imported("haproxy", &file);
    let config = write(folder.path(), "proxy.yaml", &proxy);
    let arguments = [
        "owner",
        "-c",
        config.to_str().unwrap(),
        "repo1/a",
        "repo2/b/c",
        "repo3/d",
        "repo10/a",
    ];
    let (code, out, _) = run(&arguments);
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "repo1/a\tzot-server1\tpin repo1/",
            "repo2/b/c\tzot-server2\tpin repo2/",
            "repo3/d\tzot-server3\tpin repo3/"
        ]
    );
    assert!(!lines[3].contains("pin"), "{}", lines[3]);
}

#[test]
fn a_file_that_is_no_configuration_of_haproxy_is_refused() {
    for (text, arguments, message) in [
        ("", &[][..], "<stdin>: no configuration of HAProxy"),
        (
            "backend a\n server a b:1\n",
            &[],
            "<stdin>: no configuration of HAProxy",
        ),
        (
            "frontend a\n bind :1\n",
            &[],
            "<stdin>:1: frontend a leads to no `server` line",
        ),
        (
            "frontend a\n default_backend b\nfrontend c\n",
            &[],
            "say by --frontend which serves the registry: a, c",
        ),
        (
            "frontend a\n bind :1\n",
            &["--frontend", "b"],
            "no frontend is called b: there are a",
        ),
    ] {
        let arguments: Vec<&str> = ["import", "haproxy", "-"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let (code, out, err) = run_with_input(&arguments, text);
        assert_eq!((code, out.as_str()), (1, ""), "{text}");
        assert!(err.contains(message), "{err}");
    }
}

/// The commands of a document, without their comments.
fn commands(document: &str) -> Vec<String> {
    let blocks = document.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    lines
        .map(|line| line.split("  #").next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn the_commands_of_the_migration_document_work() {
    let folder = tempfile::tempdir().unwrap();
    for (sample, name) in [
        ("zot/scaleout-dynamodb.json", "config.json"),
        ("haproxy/clustering-rules.cfg", "haproxy.cfg"),
    ] {
        std::fs::copy(Path::new(DATA).join(sample), folder.path().join(name)).unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commands = commands(&std::fs::read_to_string(root.join("docs/migrate.md")).unwrap());
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        let rest = command.strip_prefix("shardlet ").unwrap();
        let binary = env!("CARGO_BIN_EXE_shardlet");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("'{binary}' {rest}")])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {err}");
    }
}
