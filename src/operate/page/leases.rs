//! The leases: how the view stands, who wishes what, and what has changed lately.

use super::Page;
use super::words::Escaped;
use crate::operate::status::{
    EarlierViewStatus, LeaseStatus, LeasesStatus, ViewChangeStatus, WishStatus,
};
use std::fmt::{self, Write as _};

impl Page {
    /// One member's, in the table of members.
    pub(super) fn lease(
        &mut self,
        lease: Option<&LeaseStatus>,
        leases: &LeasesStatus,
    ) -> fmt::Result {
        let Some(lease) = lease else {
            return write!(self.0, "<td data-label=lease class=soft>unknown");
        };
        let class = if lease.is_over() { "bad" } else { "good" };
        write!(
            self.0,
            "<td data-label=lease><span><span class=\"{class} nowrap\">{}</span> \
             <span class=\"soft nowrap\">incarnation {}</span>",
            Escaped(&lease.text()),
            lease.incarnation
        )?;
        if leases.unsettled > 0 && lease.acked != leases.epoch {
            write!(
                self.0,
                "<br><span class=warning>acknowledged view {}</span>",
                lease.acked
            )?;
        }
        if let Some(wish) = &lease.wish {
            write!(
                self.0,
                "<br><span class=warning>wishes to {}</span>",
                Escaped(wish)
            )?;
        }
        self.0.push_str("</span>");
        Ok(())
    }

    /// What all of them have in common.
    pub(super) fn leases(&mut self, leases: Option<&LeasesStatus>) -> fmt::Result {
        let Some(leases) = leases else { return Ok(()) };
        let LeasesStatus {
            store,
            level,
            member,
            lasts,
            epoch,
            unsettled: _,
            awaited: _,
            chain: _,
            wishes,
            history,
            policy_waits_for: _,
            store_trouble: _,
            fault: _,
        } = leases;
        write!(
            self.0,
            "<section id=leases class=columns><div><h2>Leases</h2><dl><div><dt>view</dt><dd>{epoch}, "
        )?;
        self.settled(leases)?;
        let (class, lease) = match (member, lasts) {
            (true, true) => ("good", "a member, and its lease lasts"),
            (true, false) => ("bad", "a member, and its lease is over"),
            (false, _) => ("bad", "no member"),
        };
        write!(
            self.0,
            "</dd></div><div><dt>this member</dt><dd><span class={class}>{lease}</span></dd></div>\
             <div><dt>store</dt><dd><code>{}</code>, level {}</dd></div>",
            Escaped(store),
            Escaped(level)
        )?;
        for WishStatus { member, wish } in wishes {
            write!(
                self.0,
                "<div><dt>wish</dt><dd><span class=warning>{} to {}</span></dd></div>",
                Escaped(member),
                Escaped(wish)
            )?;
        }
        self.0
            .push_str("</dl></div><div><h2>Last views</h2><ol class=log>");
        for change in history {
            let ViewChangeStatus {
                epoch, at, members, ..
            } = change;
            let day = at.get(..10).unwrap_or_default();
            let time = at.get(11..19).unwrap_or(at);
            let plural = if *members == 1 { "" } else { "s" };
            write!(
                self.0,
                "<li><time class=soft datetime=\"{}\">{} {}</time> <span class=tag>view {epoch}</span> \
                 <span class=soft>{members} member{plural}</span> {}</li>",
                Escaped(at),
                Escaped(day),
                Escaped(time),
                Escaped(&change.text())
            )?;
        }
        self.0.push_str("</ol></div></section>");
        Ok(())
    }

    /// Which earlier views may still be written by, and who is waited for.
    fn settled(&mut self, leases: &LeasesStatus) -> fmt::Result {
        if leases.unsettled == 0 {
            self.0.push_str("<span class=good>settled</span>");
            return Ok(());
        }
        self.0.push_str("<span class=warning>not settled</span>: ");
        for (at, EarlierViewStatus { epoch, members }) in leases.chain.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let plural = if *members == 1 { "" } else { "s" };
            write!(self.0, "{comma}view {epoch} ({members} member{plural})")?;
        }
        let awaited = match leases.awaited.as_slice() {
            [] => "nobody any more".to_owned(),
            awaited => awaited.join(", "),
        };
        write!(
            self.0,
            " may still be written by. It waits for {}.",
            Escaped(&awaited)
        )
    }
}
