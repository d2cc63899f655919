//! The leases, for terminals.

use crate::operate::status::{EarlierViewStatus, LeaseStatus, LeasesStatus, ViewChangeStatus};

/// One member's lease in a few words.
pub(super) fn of_member(lease: Option<&LeaseStatus>, leases: &LeasesStatus) -> String {
    let Some(lease) = lease else {
        return "unknown".to_owned();
    };
    let mut text = lease.text();
    if lease.is_over() && lease.falls_in_ms.is_none() {
        text = text.to_uppercase();
    }
    text += &format!(", incarnation {}", lease.incarnation);
    if leases.unsettled > 0 {
        text += &format!(", acknowledged {}", lease.acked);
    }
    if let Some(wish) = &lease.wish {
        text += &format!(", {}S", wish.to_uppercase());
    }
    text
}

/// Names and texts.
pub(super) fn rows(leases: &LeasesStatus) -> Vec<(String, String)> {
    let place = if leases.member {
        "a member"
    } else {
        "no member"
    };
    let lasts = if leases.lasts { "lasts" } else { "is over" };
    let LeasesStatus {
        store,
        level,
        epoch,
        ..
    } = leases;
    let lease = format!("{place} of view {epoch}, its lease {lasts}, {level}, in {store}");
    let mut rows = vec![("lease".to_owned(), lease)];
    if leases.unsettled > 0 {
        let awaited = match leases.awaited.as_slice() {
            [] => "nobody any more".to_owned(),
            awaited => awaited.join(", "),
        };
        let text = format!("{}; waits for {awaited}", earlier(&leases.chain));
        rows.push(("not settled".to_owned(), text));
    }
    for wish in &leases.wishes {
        rows.push((
            "wish".to_owned(),
            format!("{} to {}", wish.member, wish.wish),
        ));
    }
    for change in &leases.history {
        let ViewChangeStatus { epoch, at, .. } = change;
        rows.push((format!("view {epoch}"), format!("{at}: {}", change.text())));
    }
    rows
}

/// The views that may still be written by.
fn earlier(chain: &[EarlierViewStatus]) -> String {
    let told = chain.iter().map(|EarlierViewStatus { epoch, members }| {
        let members = if *members == 1 {
            "1 member".to_owned()
        } else {
            format!("{members} members")
        };
        format!("view {epoch} ({members})")
    });
    told.collect::<Vec<_>>().join(", ")
}
