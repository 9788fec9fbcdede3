//! `flyrpc describe`

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use crate::{
    exit::{self, Failure},
    options::Options,
    output::{add_line, print, print_json},
    session::Session,
    specs::{self, Services, attributes},
};

/// The output of `describe --json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The services of each node.
    pub(crate) nodes: Vec<Services>,
    /// Each method with the nodes that lack it. Other programs may read it; `compat` does not.
    #[serde(default)]
    support: Vec<Support>,
}

/// Which nodes have a method.
#[derive(Debug, Serialize, Deserialize)]
struct Support {
    service: String,
    method: String,
    /// The ids of the nodes by signature. There are several if nodes of several versions run.
    served: BTreeMap<String, Vec<String>>,
    /// The ids of the nodes that lack it.
    lacking: Vec<String>,
}

pub(crate) async fn run(options: &Options, service: Option<&str>) -> Result<u8, Failure> {
    let session = Session::open(options).await?;
    let mut nodes = specs::of_all_nodes(&session.report().await?);
    if let Some(name) = service {
        if !nodes.iter().any(|node| node.service(name).is_some()) {
            let known = service_names(&nodes).join(", ");
            return Err(Failure::NoNode(format!("no node serves `{name}`; there are: {known}")));
        }
        for node in &mut nodes {
            node.services.retain(|service| service.name == name);
            node.withdrawn.retain(|withdrawn| withdrawn == name);
        }
    }
    if options.json {
        print_json(&Description { support: support(&nodes), nodes })?;
    } else {
        print(&text(&nodes))?;
    }
    Ok(exit::OK)
}

fn service_names(nodes: &[Services]) -> Vec<&str> {
    let names = nodes.iter().flat_map(|node| &node.services).map(|service| &*service.name);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The names of the methods of a service, in the order in which the nodes list them.
fn method_names<'a>(nodes: &'a [Services], service: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    let listed = nodes.iter().filter_map(|node| node.service(service));
    for method in listed.flat_map(|service| &service.methods) {
        if !names.contains(&&*method.name) {
            names.push(&*method.name);
        }
    }
    names
}

fn support(nodes: &[Services]) -> Vec<Support> {
    let mut support = Vec::new();
    for service in service_names(nodes) {
        for method in method_names(nodes, service) {
            let mut served: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut lacking = Vec::new();
            for node in nodes {
                let id = node.node.id().to_string();
                match node.method(service, method) {
                    Some(spec) => served.entry(spec.to_string()).or_default().push(id),
                    None => lacking.push(id),
                }
            }
            let (service, method) = (service.to_owned(), method.to_owned());
            support.push(Support { service, method, served, lacking });
        }
    }
    support
}

fn text(nodes: &[Services]) -> String {
    let mut text = String::new();
    for service in service_names(nodes) {
        let serving: Vec<&Services> =
            nodes.iter().filter(|node| node.service(service).is_some()).collect();
        add_line(&mut text, service);
        for method in method_names(nodes, service) {
            describe_method(&mut text, &serving, service, method);
        }
        add_line(&mut text, &format!("  served by {}", names(serving.iter().copied())));
        let lacking = nodes.iter().filter(|node| node.service(service).is_none());
        let lacking = names(lacking);
        if !lacking.is_empty() {
            add_line(&mut text, &format!("  not served by {lacking}"));
        }
        let withdrawn = serving.iter().filter(|node| node.withdrawn.iter().any(|it| it == service));
        let withdrawn = names(withdrawn.copied());
        if !withdrawn.is_empty() {
            add_line(&mut text, &format!("  temporarily withdrawn by {withdrawn}"));
        }
    }
    if text.is_empty() {
        text.push_str("no node serves anything\n");
    }
    text
}

/// Writes a line for each signature of a method, and one for the nodes that have the service without the method.
fn describe_method(text: &mut String, serving: &[&Services], service: &str, method: &str) {
    let mut signatures: Vec<(String, Vec<&Services>)> = Vec::new();
    let mut lacking = Vec::new();
    for node in serving {
        let Some(spec) = node.method(service, method) else {
            lacking.push(*node);
            continue;
        };
        let attributes = attributes(spec);
        let mut line = spec.to_string();
        if !attributes.is_empty() {
            let _ = write!(line, "  [{}]", attributes.join(", "));
        }
        match signatures.iter_mut().find(|(signature, _)| *signature == line) {
            Some((_, nodes)) => nodes.push(node),
            None => signatures.push((line, vec![node])),
        }
    }
    let are_several = signatures.len() > 1;
    for (signature, nodes) in signatures {
        add_line(text, &format!("  {signature}"));
        if are_several {
            add_line(text, &format!("    on {}", names(nodes)));
        }
    }
    if !lacking.is_empty() {
        add_line(text, &format!("    not on {}", names(lacking)));
    }
}

/// Names nodes, with their versions.
fn names<'a>(nodes: impl IntoIterator<Item = &'a Services>) -> String {
    let names = nodes.into_iter().map(|node| match &*node.version {
        "" => node.node.name().to_owned(),
        version => format!("{} (version {version})", node.node.name()),
    });
    names.collect::<Vec<_>>().join(", ")
}
