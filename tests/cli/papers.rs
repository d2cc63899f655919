//! Completions and manual pages: there is one of everything, and shells and `mandoc` can read them.

use std::collections::BTreeSet;
use std::process::Command;

use super::{run, shardlet, told, write};

/// The commands that `--help` lists.
fn commands() -> BTreeSet<String> {
    let (_, help, _) = run(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap();
    let listed = listed.split("\n\n").next().unwrap();
    let names = listed
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_is_completed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, err) = run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, script, _) = run(&["completions", "bash"]);
    let script = write(folder.path(), "shardlet.bash", &script);
    let completed = "source \"$1\"; COMP_WORDS=(shardlet rel); COMP_CWORD=1; \
                     _shardlet shardlet rel shardlet; echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash")
        .args(["-c", completed, "bash", script.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout), "reload\n");
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    let man = shardlet(&["man", pages.to_str().unwrap()])
        .env("SOURCE_DATE_EPOCH", "1732492800")
        .output()
        .unwrap();
    assert_eq!(told(man), (0, String::new(), String::new()));
    let written: BTreeSet<String> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: BTreeSet<String> = commands()
        .iter()
        .map(|command| format!("shardlet-{command}.1"))
        .collect();
    expected.insert("shardlet.1".to_owned());
    assert_eq!(written, expected);
    let page = std::fs::read_to_string(pages.join("shardlet-run.1")).unwrap();
    assert!(
        page.contains(".TH SHARDLET-RUN 1 2024-11-25 \"shardlet ")
            && page.contains("SIGTERM drains"),
        "{page}"
    );
}

#[test]
fn pages_that_cannot_be_written_are_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "taken", "");
    let (code, _, err) = run(&["man", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.starts_with("shardlet man: cannot write to "), "{err}");
}
