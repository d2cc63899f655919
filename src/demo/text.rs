//! What the demo prints: facts in, text out. Every line to try works as printed.

use std::fmt::Write;
use std::path::Path;

use super::configuration::{FILE, MemberAddresses};

/// The last line.
pub(super) const WAITING: &str = "\nRunning. Ctrl-C ends it.\n";

/// What became of the push.
#[derive(Debug, Clone)]
pub(super) struct Pushed<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: &'a str,
    pub(super) digest: &'a str,
    /// The id of the owner.
    pub(super) owner: String,
    /// For each member, how many requests for the repository its replica got.
    pub(super) requests: Vec<(String, u64)>,
    /// Other repositories with the ids of their owners.
    pub(super) others: Vec<(&'a str, String)>,
}

/// Who is there.
pub(super) fn members(places: &[MemberAddresses]) -> String {
    let mut text = String::from(
        "Three members in one process, mTLS between them, a registry beside each over one store:\n\n",
    );
    let _ = writeln!(
        text,
        "  {:<10} {:<17} {:<17} {:<17} status page",
        "", "clients", "its registry", "peers (mTLS)"
    );
    for MemberAddresses {
        id,
        clients,
        replica,
        peers,
        admin,
    } in places
    {
        // Padding works on strings.
        let [clients, replica, peers] = [clients, replica, peers].map(ToString::to_string);
        let _ = writeln!(
            text,
            "  {id:<10} {clients:<17} {replica:<17} {peers:<17} http://{admin}/"
        );
    }
    text
}

/// That members are not where the documentation has them.
pub(super) fn taken(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    match ports.as_slice() {
        [] => String::new(),
        [port] => format!("\nPort {port} is taken by somebody else: a free one stands in.\n"),
        _ => format!(
            "\nPorts {} are taken by somebody else: free ones stand in.\n",
            ports.join(", ")
        ),
    }
}

/// Before the push, and before its lines in the access logs.
pub(super) fn pushing(repository: &str, tag: &str, through: &str, back: &str) -> String {
    format!(
        "\nPushing {repository}:{tag} through {through} and pulling it through {back}, as docker would:\n"
    )
}

/// Which replica did the work.
pub(super) fn proof(pushed: &Pushed<'_>) -> String {
    let Pushed {
        repository,
        tag: _,
        digest,
        owner,
        requests,
        others,
    } = pushed;
    let mut text = format!(
        "\nIt came back as it went, as {digest}.\n\
         {repository} belongs to {owner}. Requests for it, counted by the registries themselves:\n\n"
    );
    for (id, count) in requests {
        let mark = if id == owner { "  the owner" } else { "" };
        let _ = writeln!(text, "  registry of {id:<10} {count:>3}{mark}");
    }
    let others: Vec<String> = others
        .iter()
        .map(|(repository, owner)| format!("{repository} to {owner}"))
        .collect();
    let _ = writeln!(
        text,
        "\nOther repositories have other owners: {}.",
        others.join(", ")
    );
    text
}

/// Before a member ends without a word.
pub(super) fn killing(owner: &str, repository: &str) -> String {
    format!("\nKilling {owner}, which owns {repository}, without a word to anybody:\n\n")
}

/// What is served while a member is away.
pub(super) fn served(what: &str, how: &str) -> String {
    format!("  {what:<40} {how}\n")
}

/// Before the member starts again.
pub(super) fn healing(owner: &str) -> String {
    format!("\nStarting {owner} again:\n\n")
}

/// A member was told to drain, and has.
pub(super) fn drained(id: &str) -> String {
    format!("{id} has drained and ended; the others go on.\n")
}

/// Our own commands, on the member whose configuration this is. The last one takes the last member
/// away.
pub(super) fn commands(places: &[MemberAddresses], file: &Path, repository: &str) -> String {
    let [first, .., last] = places else {
        return String::new();
    };
    let (first, last, file) = (first.admin, last.admin, quoted(&file.display().to_string()));
    format!(
        "
With shardlet itself; edit that file before the reload:
  shardlet status --admin {first}
  shardlet owner --config {file} {repository}
  shardlet reload --admin {first}
  shardlet drain --admin {last}

A member that dies: shardlet demo --fail
"
    )
}

/// Lines to copy.
pub(super) fn try_it(places: &[MemberAddresses], pushed: &Pushed<'_>) -> String {
    let [first, second, third] = places else {
        return String::new();
    };
    let Pushed {
        repository, tag, ..
    } = pushed;
    let (one, two, three) = (first.clients, second.clients, third.clients);
    let (admin, image) = (first.admin, format!("{repository}:{tag}"));
    format!(
        "
Try, through any member:
  curl -s http://{one}/v2/
  curl -s http://{one}/v2/_catalog
  curl -s http://{two}/v2/{repository}/tags/list
  curl -si http://{three}/v2/{repository}/manifests/{tag}

Which member owns a repository, and how are they?
  curl -s 'http://{admin}/api/v1/owner?repo={repository}'
  curl -s http://{admin}/api/v1/status
  curl -s 'http://{admin}/readyz?verbose'
  curl -s http://{admin}/metrics

With docker (plain HTTP is fine on 127.0.0.1):
  docker pull {two}/{image}
  docker tag {two}/{image} {one}/team/app:v1
  docker push {one}/team/app:v1

With skopeo:
  skopeo inspect --tls-verify=false docker://{two}/{image}
  skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://{two}/{image} docker://{one}/team/web:v1
  skopeo list-tags --tls-verify=false docker://{three}/team/web
"
    )
}

/// What to do with kept files.
pub(super) fn kept(folder: &Path, places: &[MemberAddresses]) -> String {
    let Some(first) = places.first() else {
        return String::new();
    };
    let file = quoted(&folder.join(&first.id).join(FILE).display().to_string());
    format!(
        "
Configuration and certificates (valid for 30 days) stay in {}. With a registry on {}, this
starts {} alone:
  shardlet check {file}
  shardlet run --config {file}
",
        folder.display(),
        first.replica,
        first.id,
    )
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three members on the usual ports.
    pub(crate) fn places() -> Vec<MemberAddresses> {
        let at = |port: u16| ([127, 0, 0, 1], port).into();
        (0..3)
            .map(|index| MemberAddresses {
                id: format!("member-{}", index + 1),
                clients: at(5000 + 10 * index),
                replica: at(5001 + 10 * index),
                peers: at(5443 + 10 * index),
                admin: at(9900 + 10 * index),
            })
            .collect()
    }

    fn pushed() -> Pushed<'static> {
        let count = |id: &str, count| (id.to_owned(), count);
        Pushed {
            repository: "demo/hello",
            tag: "v1",
            digest: "sha256:0123",
            owner: "member-3".into(),
            requests: vec![
                count("member-1", 0),
                count("member-2", 0),
                count("member-3", 10),
            ],
            others: vec![
                ("team/app", "member-1".into()),
                ("team/web", "member-2".into()),
            ],
        }
    }

    #[test]
    fn the_whole_story_is_pinned() {
        let story = [
            members(&places()),
            taken(&[]),
            taken(&[5000]),
            taken(&[5000, 9900]),
            pushing("demo/hello", "v1", "member-1", "member-2"),
            proof(&pushed()),
            try_it(&places(), &pushed()),
            commands(
                &places(),
                Path::new("/tmp/my demo/member-1/proxy.yaml"),
                "demo/hello",
            ),
            kept(Path::new("/tmp/my demo"), &places()),
            WAITING.to_owned(),
            killing("member-3", "demo/hello"),
            served("pull demo/hello:v1 through member-1", "200"),
            healing("member-3"),
            drained("member-3"),
        ];
        insta::assert_snapshot!(story.concat());
    }

    #[test]
    fn lines_to_copy_are_the_indented_ones_and_name_no_port_that_is_not_there() {
        let text = try_it(&places(), &pushed());
        let ports = regex::Regex::new(r"127\.0\.0\.1:(\d+)").unwrap();
        let known = ["5000", "5010", "5020", "9900"];
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert_eq!(lines.len(), 14);
        for line in lines {
            let command = line.split_whitespace().next().unwrap();
            assert!(["curl", "docker", "skopeo"].contains(&command), "{line}");
            assert!(
                ports
                    .captures_iter(line)
                    .all(|port| known.contains(&&port[1])),
                "{line}"
            );
        }
    }

    #[test]
    fn words_of_a_shell() {
        assert_eq!(quoted("/tmp/demo-1/proxy.yaml"), "/tmp/demo-1/proxy.yaml");
        assert_eq!(quoted("/tmp/it's mine"), r"'/tmp/it'\''s mine'");
        assert_eq!(quoted("$HOME"), "'$HOME'");
        assert_eq!(quoted(""), "''");
    }
}
