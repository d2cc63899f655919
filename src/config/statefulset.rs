//! Reads `cluster.statefulset`: the members of a Kubernetes StatefulSet, by its name and its number
//! of pods instead of one by one. The same list written by hand makes the same view.

use super::findings::{Findings, Wrong};
use super::schema;
use super::section::Section;
use super::values::{number, parsed};
use crate::shard::{Host, Member, MemberAddress, MemberId, Members, Weight};

/// The default of `cluster.statefulset.port`, which is that of `listen.peers.address`.
const PORT: u16 = 5443;

/// One member for each pod, in the order of their numbers: named as the pod, and reached by the name
/// that the headless service gives it. None after a complaint.
pub(super) fn members(cluster: &Section<'_>, out: &mut Findings<'_>) -> Option<Vec<Member>> {
    let set = cluster.section("statefulset", &schema::STATEFULSET, out);
    let count = u16::try_from(Members::MAX).unwrap_or(u16::MAX);
    let replicas = set.required("replicas", out, number(1..=count));
    // The last pod has the longest name.
    let last = replicas.unwrap_or(1).saturating_sub(1);
    let name = set.required("name", out, |text| {
        let expected = "the name of a StatefulSet";
        if text.contains('.') {
            let help = "its pods are labels of the service's name, which have no dot";
            return Err(Wrong::expected(expected).help(help));
        }
        parsed::<MemberId>(expected)(&pod(text, last)).map(|_| text.to_owned())
    });
    let service = set.required("service", out, |text| {
        let expected = "the name of its headless service, such as `registry-peers`";
        parsed::<Host>(expected)(text)?;
        // The two together may be too long, and no name of a pod ends in an address.
        let longest = name.as_deref().unwrap_or("x");
        parsed::<Host>(expected)(&format!("{}.{text}", pod(longest, last))).map(|_| text.to_owned())
    });
    let port = set.or("port", out, PORT, number(1..=u16::MAX));
    let (replicas, name, service) = (replicas?, name?, service?);
    let member = |number: u16| {
        let id = pod(&name, number);
        Some(Member {
            address: MemberAddress {
                host: format!("{id}.{service}").parse().ok()?,
                port,
            },
            id: id.parse().ok()?,
            weight: Weight::default(),
        })
    };
    (0..replicas).map(member).collect()
}

fn pod(name: &str, number: u16) -> String {
    format!("{name}-{number}")
}
