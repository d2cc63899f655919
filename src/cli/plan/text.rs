//! The plan for people.

use super::compare::{Comparison, Share, Verdict};

/// How many flows between two members are told.
const FLOWS: usize = 20;

/// What moves, the shares, and what the placements would make of it.
pub(super) fn summary(comparison: &Comparison<'_>) -> String {
    let total = comparison.total();
    let made_up = match (comparison.are_made_up(), total) {
        (true, _) => "made-up repositories; name yours by --repositories or --catalog",
        (false, 1) => "repository",
        (false, _) => "repositories",
    };
    let moved = comparison.moves().len();
    let [before, after] = comparison.placements();
    let mut text = format!(
        "{total} {made_up}\n{moved} move ({})",
        percent(comparison.part(moved))
    );
    if before == after {
        text += &format!(", placement {before}\n");
    } else {
        text += &format!(", placement {before} before, {after} after\n");
    }
    if !comparison.has_same_key() {
        text += "the hash keys differ: nearly every repository moves, and all members must change at once\n";
    }
    text += &flows(comparison);
    text += &shares(comparison);
    text += &placements(comparison);
    text
}

/// One line a repository that moves: name, owner before, owner after.
pub(super) fn moves(comparison: &Comparison<'_>) -> String {
    let lines = comparison.moves();
    lines
        .map(|(name, from, to)| format!("{name}\t{from}\t{to}\n"))
        .collect()
}

fn flows(comparison: &Comparison<'_>) -> String {
    let flows = comparison.flows();
    if flows.is_empty() {
        return String::new();
    }
    let mut rows = vec![["from", "to", "repositories"].map(str::to_owned).to_vec()];
    for (from, to, count) in flows.iter().take(FLOWS) {
        rows.push(vec![from.to_string(), to.to_string(), count.to_string()]);
    }
    let mut text = table(&rows, 2);
    if flows.len() > FLOWS {
        text += &format!("and {} more pairs of members\n", flows.len() - FLOWS);
    }
    text
}

fn shares(comparison: &Comparison<'_>) -> String {
    let mut rows = vec![
        ["member", "before", "", "after", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for Share { member, owned } in comparison.shares() {
        let mut row = vec![member.to_string()];
        for side in owned {
            match side {
                Some(count) => row.extend([count.to_string(), percent(comparison.part(count))]),
                None => row.extend(["-".to_owned(), String::new()]),
            }
        }
        rows.push(row);
    }
    let [before, after] = comparison.fullest();
    table(&rows, 1)
        + &format!("the fullest has {before:.2} times its share before, {after:.2} after\n")
}

fn placements(comparison: &Comparison<'_>) -> String {
    let header = ["with placement", "move", "", "fullest before", "after"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for Verdict {
        placement,
        moved,
        fullest: [before, after],
    } in comparison.verdicts()
    {
        rows.push(vec![
            placement.to_string(),
            moved.to_string(),
            percent(comparison.part(moved)),
            format!("{before:.2}"),
            format!("{after:.2}"),
        ]);
    }
    table(&rows, 1)
}

pub(super) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Columns side by side: the first few to the left, numbers to the right. An empty line before it.
fn table(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = "\n".to_owned();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column < left {
                line += &format!("{cell:<width$}  ");
            } else {
                line += &format!("{cell:>width$}  ");
            }
        }
        text += line.trim_end();
        text += "\n";
    }
    text
}
