//! Renders the pages: pure functions of a snapshot.

mod links;
mod map;
mod methods;
mod nodes;
mod overview;
mod regions;
mod services;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::Arc,
};

use flyrpc::{NodeId, NodeInfo, operations::NodeReport};

use self::text::{Clock, InQuery, Time, count, name, reason};
use crate::snapshot::{Health, NodeEntry, Severity, Snapshot};

/// The policy of the pages. The hash is that of `script.js`; a test computes it. Styles may be inline, because a page has no
/// other source of styles, and no text of other nodes in one.
pub(crate) const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'sha256-T/W33dAjiXaJV9D1FPH/b9BWP9OcY/ThHH0lLUXbP80='; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A page.
#[derive(Debug)]
pub(crate) enum Page {
    Overview,
    Nodes,
    /// One node's own view.
    Node(Chosen),
    Services,
    Methods,
    Links,
}

/// The node that the viewer has chosen.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// As the viewer has written it.
    pub(crate) id: String,
    /// Its report, or why there is none.
    pub(crate) report: Result<Arc<NodeReport>, String>,
}

impl Page {
    const TABS: [(Page, &str, &str); 5] = [
        (Page::Overview, "overview", "Overview"),
        (Page::Nodes, "nodes", "Nodes"),
        (Page::Services, "services", "Services"),
        (Page::Methods, "methods", "Methods"),
        (Page::Links, "links", "Links"),
    ];

    fn is_in_tab(&self, tab: &Page) -> bool {
        let tab_of = |page: &Page| match page {
            Page::Overview => 0,
            Page::Nodes | Page::Node(_) => 1,
            Page::Services => 2,
            Page::Methods => 3,
            Page::Links => 4,
        };
        tab_of(self) == tab_of(tab)
    }
}

/// Renders a page.
pub(crate) fn page(page: &Page, snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a string does not fail.
    let _ = document(&mut out, page, snapshot);
    out
}

fn document(out: &mut String, page: &Page, snapshot: &Snapshot) -> fmt::Result {
    let cluster = name(&snapshot.cluster);
    let errors = snapshot.problems.iter().filter(|it| it.severity == Severity::Error).count();
    let title = if errors > 0 { format!("({errors}) ") } else { String::new() };
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}{cluster} – flyrpc</title>\n<style>{STYLE}</style>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n</head>\n<body>\n\
         <div id=\"live\" role=\"status\"></div>\n<div id=\"page\" class=\"wrap\">\n"
    )?;
    header(out, page, snapshot)?;
    out.push_str("<main>\n");
    match page {
        Page::Overview => overview::overview(out, snapshot)?,
        Page::Nodes => nodes::nodes(out, snapshot)?,
        Page::Node(chosen) => nodes::node(out, snapshot, chosen)?,
        Page::Services => services::services(out, snapshot)?,
        Page::Methods => methods::methods(out, snapshot)?,
        Page::Links => links::links(out, snapshot)?,
    }
    write!(
        out,
        "</main>\n<footer>As seen by {} at {}. {} answered within {}. \
         <a href=\"?format=json\">JSON</a></footer>\n</div>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        name(&snapshot.reporter.to_string()),
        Clock(snapshot.unix_time),
        count(snapshot.nodes.iter().filter(|it| it.answer_seconds.is_some()).count() + 1, "node"),
        Time(Some(snapshot.seconds)),
    )
}

fn header(out: &mut String, page: &Page, snapshot: &Snapshot) -> fmt::Result {
    let regions: BTreeSet<_> = snapshot.live().map(|entry| entry.node.region()).collect();
    write!(
        out,
        "<header><h1>{}</h1><span>{} in {}</span>",
        name(&snapshot.cluster),
        count(snapshot.live().count(), "node"),
        count(regions.len(), "region"),
    )?;
    let parts = [(Severity::Error, "error"), (Severity::Warning, "warning")];
    for (severity, noun) in parts {
        let number = snapshot.problems.iter().filter(|it| it.severity == severity).count();
        if number > 0 {
            write!(out, "<strong class=\"{noun}\">{}</strong>", count(number, noun))?;
        }
    }
    out.push_str("</header>\n<nav>");
    for (tab, key, label) in &Page::TABS {
        let current = if page.is_in_tab(tab) { " aria-current=\"page\"" } else { "" };
        write!(out, "<a href=\"?page={key}\"{current}>{label}</a>")?;
    }
    out.push_str("</nav>\n");
    Ok(())
}

/// The class of a health.
fn class(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Left => "left",
        Health::Warning => "warning",
        Health::Error => "error",
    }
}

/// What the state of a node is, in a word or two.
fn state(entry: &NodeEntry) -> &str {
    match entry.health {
        Health::Left => "left",
        Health::Error if entry.supported == Some(false) => "cannot be called",
        Health::Error if entry.answer == crate::snapshot::Answer::Failed => "does not answer",
        _ if entry.draining => "draining",
        _ if !entry.accepting => "held",
        _ if !entry.ready => "not ready",
        _ if !entry.withdrawn.is_empty() => "serves in part",
        _ if entry.ejected => "ejected",
        _ if entry.gossip_missing => "no gossip",
        _ => &entry.state,
    }
}

/// Writes a link to the page of a node.
fn node_link(out: &mut String, node: &NodeInfo, class: &str) -> fmt::Result {
    let id = node.id().to_string();
    if is_linkable(&id) {
        write!(
            out,
            "<a class=\"{class}\" href=\"?node={}\" title=\"{}\">",
            InQuery(&id),
            reason(&id)
        )?;
        write!(out, "{}</a>", name(node.name()))
    } else {
        write!(out, "<span class=\"{class}\">{}</span>", name(node.name()))
    }
}

/// Writes the name of a problem's subject, with a link if it is a node.
fn subject_link(out: &mut String, subject: &str) -> fmt::Result {
    match subject.parse::<NodeId>() {
        Ok(id) if is_linkable(subject) => {
            let query = InQuery(subject);
            write!(out, "<a href=\"?node={query}\"><b>{}</b></a>", name(id.name()))
        }
        _ => write!(out, "<b>{}</b>", name(subject)),
    }
}

/// A node that has a longer id than this gets no page.
fn is_linkable(id: &str) -> bool {
    id.len() <= 300
}

/// Writes how many more there are.
fn and_more(out: &mut String, all: usize, shown: usize, noun: &str) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "<p class=\"muted\">and {more} more {noun}</p>"),
    }
}
