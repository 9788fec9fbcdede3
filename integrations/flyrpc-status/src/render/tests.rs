//! Pages of clusters that never existed.

use std::{sync::Arc, time::Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flyrpc::{NodeId, operations::NodeReport};
use serde_json::{Value, json};

use super::{
    CONTENT_SECURITY, Chosen, Page, SCRIPT,
    map::{NARROW, WIDE, dots, labels},
    overview::regions,
    page,
    regions::PLACES,
};
use crate::snapshot::{
    Asked, Collection, MethodEntry, NoAnswer, Severity, Snapshot, services::compare,
};

/// Neither markup nor an attribute may come from a name.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

fn id(name: &str, boot: u64) -> NodeId {
    NodeId::new(name, boot)
}

fn node(name: &str, region: &str, boot: u64) -> Value {
    let (high, low) = (boot / 256 % 256, boot % 256);
    json!({"id": id(name, boot), "region": region, "addr": format!("10.0.{high}.{low}:3590")})
}

fn service(name: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<Value> =
        arguments.iter().map(|name| json!({"name": name, "ty": "Vec<String>"})).collect();
    let method = |method: &str| json!({"name": method, "arguments": arguments, "returns": name});
    json!({"name": name, "methods": [method("get"), method(name)]})
}

fn report(node: &Value, text: &str, services: &[Value], peers: &[Value]) -> Value {
    json!({
        "node": node, "cluster": text, "version": text, "flyrpc": text, "protocol": [1, 2],
        "primary_region": "iad", "accepting": true, "draining": false, "ready": true, "withdrawn": [],
        "keys": [text], "unix_time": 1e9, "uptime": 1e5, "in_flight": 3, "services": services,
        "peers": peers,
    })
}

fn peer(node: &Value, text: &str, state: &str, services: &[Value]) -> Value {
    json!({
        "addr": node["addr"], "node": node, "version": text, "state": state,
        "supported": state != "lost", "reason": if state == "lost" { text } else { "" },
        "accepting": true, "primary_region": "iad", "services": services, "withdrawn": [],
        "security": text, "keys": [text], "round_trip": 0.07, "in_flight": 1, "reported_in_flight": 2,
        "ejected": false, "gossip_age": 1.0, "gossip_missing": false,
    })
}

fn method(service: &str, method: &str, region: &str) -> MethodEntry {
    MethodEntry {
        service: service.to_owned(),
        method: method.to_owned(),
        region: region.into(),
        calls: 1_000,
        errors: 3,
        calls_per_second: 16.7,
        p50: Some(0.01),
        p99: Some(0.3),
        in_flight: 2,
        by_status: [("OK".to_owned(), 997), (service.to_owned(), 3)].into(),
    }
}

fn parse(report: Value) -> NodeReport {
    serde_json::from_value(report).unwrap()
}

fn collection(reporter: Value, asked: Vec<Value>, methods: Vec<MethodEntry>) -> Collection {
    let asked = asked.into_iter().map(|report| {
        let report = parse(report);
        let id = report.node.id().clone();
        (id, Asked { report: Ok(report), unix_time: 1e9, seconds: 0.07 })
    });
    Collection {
        unix_time: 1e9,
        seconds: 0.2,
        reporter: parse(reporter),
        asked: asked.collect(),
        recent: Vec::new(),
        window: 60.0,
        methods,
    }
}

/// A cluster of this number of nodes in all regions, some with problems, and some that have been asked.
fn large(nodes: usize, asked: usize) -> Collection {
    let services: Vec<Value> = ["Notes", "Pictures", "Users"]
        .iter()
        .map(|name| service(name, &["id", "text", "limit"]))
        .collect();
    let older = vec![service("Notes", &["id", "text"]), service("Pictures", &["id"])];
    let served = |at: usize| if at % 10 == 3 { &older } else { &services };
    let all: Vec<Value> = (0..nodes)
        .map(|at| node(&format!("machine-{at:04}"), PLACES[at % PLACES.len()].0, at as u64))
        .collect();
    let state = |at: usize| if at % 50 == 7 { "lost" } else { "linked" };
    let peers = |but: usize, specs: bool| -> Vec<Value> {
        let others = (0..nodes).filter(|at| *at != but);
        let peer = |at: usize| {
            let specs = if specs { &served(at)[..] } else { &[] };
            peer(&all[at], "2026.11.2", state(at), specs)
        };
        others.map(peer).collect()
    };
    let reporter = report(&all[0], "2026.11.2", &services, &peers(0, true));
    let asked = (1..nodes).filter(|at| state(*at) == "linked").take(asked);
    let asked = asked.map(|at| report(&all[at], "2026.11.2", served(at), &peers(at, false)));
    let methods = PLACES.iter().flat_map(|(region, ..)| {
        ["Notes", "Pictures", "Users"].map(|service| method(service, "get", region))
    });
    collection(reporter, asked.collect(), methods.collect())
}

fn pages(collection: &Collection) -> Vec<(Page, String)> {
    let snapshot = collection.snapshot();
    let report = Ok(Arc::new(collection.reporter.clone()));
    let chosen = Chosen { id: snapshot.reporter.to_string(), report };
    let pages = [Page::Overview, Page::Nodes, Page::Node(chosen)];
    let others = [Page::Services, Page::Methods, Page::Links];
    pages
        .into_iter()
        .chain(others)
        .map(|it| {
            let html = page(&it, &snapshot);
            (it, html)
        })
        .collect()
}

#[test]
fn every_page_of_1000_nodes_has_at_most_1_mb() {
    let large = large(1_000, 10);
    let overview = &pages(&large)[0].1;
    for at in 0..1_000 {
        assert!(overview.contains(&format!(">machine-{at:04}<")), "machine-{at:04} is not shown");
    }
    for (page, html) in pages(&large) {
        assert!(html.len() < 1_000_000, "{page:?}: {} bytes", html.len());
    }
}

/// Prints the size of each page and the time to render it. Run with
/// `cargo test --release -p flyrpc-status --lib -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures_of_1000_nodes() {
    let large = large(1_000, 100);
    let start = Instant::now();
    let snapshot: Snapshot = large.snapshot();
    println!("snapshot: {:?}", start.elapsed());
    let start = Instant::now();
    let json = serde_json::to_string(&snapshot).unwrap();
    println!("status.json: {} bytes in {:?}", json.len(), start.elapsed());
    for it in [Page::Overview, Page::Nodes, Page::Services, Page::Methods, Page::Links] {
        let start = Instant::now();
        let html = page(&it, &snapshot);
        println!("{it:?}: {} bytes in {:?}", html.len(), start.elapsed());
    }
}

#[test]
fn text_of_other_nodes_is_escaped_wherever_it_is_shown() {
    let nodes = [node(HOSTILE, HOSTILE, 1), node("b", HOSTILE, 2), node("c", "iad", 3)];
    let services = [service(HOSTILE, &[HOSTILE])];
    let other = [service(HOSTILE, &["other"])];
    let peers = |but: usize| -> Vec<Value> {
        let others = (0..3).filter(|at| *at != but);
        let state = |at: usize| if at == 2 { "lost" } else { HOSTILE };
        others.map(|at| peer(&nodes[at], HOSTILE, state(at), &other)).collect()
    };
    let mut own = report(&nodes[0], HOSTILE, &services, &peers(0));
    own["withdrawn"] = json!([HOSTILE]);
    own["peers"].as_array_mut().unwrap().push(json!({
        "addr": "10.9.9.9:1", "node": null, "version": HOSTILE, "state": HOSTILE, "supported": false,
        "reason": HOSTILE, "accepting": false, "primary_region": null, "services": [], "withdrawn": [],
        "security": HOSTILE, "keys": [], "round_trip": null, "in_flight": 0, "reported_in_flight": 0,
        "ejected": true,
    }));
    let mut answer = report(&nodes[1], "2", &other, &peers(1));
    answer["primary_region"] = json!(HOSTILE);
    let mut collection = collection(own, vec![answer], vec![method(HOSTILE, HOSTILE, HOSTILE)]);
    let failed =
        Asked { report: Err(NoAnswer::Failed(HOSTILE.to_owned())), unix_time: 1e9, seconds: 2.0 };
    collection.asked.insert(id("c", 3), failed);
    let mut rendered = pages(&collection);
    let unknown = Chosen { id: HOSTILE.to_owned(), report: Err(HOSTILE.to_owned()) };
    let html = page(&Page::Node(unknown), &collection.snapshot());
    rendered.push((Page::Overview, html));
    for (page, html) in rendered {
        assert!(html.contains("&lt;script&gt;"), "{page:?} shows no hostile text");
        // The page has one script and no image.
        assert_eq!(html.matches("<script").count(), 1, "{page:?}");
        assert_eq!(html.matches("<img").count(), 0, "{page:?}");
        assert!(!html.contains("\"'>"), "{page:?}");
    }
}

#[test]
fn the_overview_shows_who_cannot_be_called_and_why() {
    let nodes = [node("a", "iad", 1), node("b", "iad", 2), node("c", "iad", 3)];
    let mut unsupported = peer(&nodes[2], "", "linked", &[]);
    unsupported["supported"] = json!(false);
    unsupported["reason"] = json!("it holds another secret");
    let linked = |at: usize| peer(&nodes[at], "", "linked", &[]);
    let own = report(&nodes[0], "", &[], &[linked(1), unsupported.clone()]);
    let answer = report(&nodes[1], "", &[], &[linked(0), unsupported]);
    let html = page(&Page::Overview, &collection(own, vec![answer], Vec::new()).snapshot());
    let why = "cannot be called: it holds another secret (reported by a, b)";
    assert!(html.contains(why) && html.contains("<title>(1) "), "{html}");
}

#[test]
fn lengths_that_other_nodes_choose_are_bounded() {
    let long = "x".repeat(100_000);
    let me = node("me", "iad", 0);
    let services: Vec<Value> =
        (0..500).map(|at| service(&format!("{long}{at}"), &["a"; 90])).collect();
    let peers: Vec<Value> = (1..20)
        .map(|boot| peer(&node(&long, &format!("{long}{boot}"), boot), &long, "lost", &[]))
        .collect();
    let collection = collection(report(&me, &long, &services, &peers), Vec::new(), Vec::new());
    for (page, html) in pages(&collection) {
        assert!(html.len() < 300_000, "{page:?}: {} bytes", html.len());
    }
}

#[test]
fn labels_of_the_map_cover_neither_dots_nor_each_other() {
    let snapshot = large(190, 5).snapshot();
    let views = regions(&snapshot);
    assert_eq!(views.len(), PLACES.len());
    for scale in [WIDE, NARROW] {
        let labels = labels(&dots(&views, scale), scale);
        let shown: Vec<_> = labels.iter().flatten().collect();
        println!("{} of {} labels", shown.len(), labels.len());
        for (at, label) in shown.iter().enumerate() {
            assert!(!shown[..at].iter().any(|other| label.overlaps(other)));
        }
    }
    let wide = labels(&dots(&views, WIDE), WIDE);
    assert!(wide.iter().all(Option::is_some), "a wide screen has room for all labels");
}

#[test]
fn the_policy_allows_only_the_script_of_the_page() {
    let digest = ring::digest::digest(&ring::digest::SHA256, SCRIPT.as_bytes());
    let hash = format!("script-src 'sha256-{}'", BASE64_STANDARD.encode(digest));
    assert!(CONTENT_SECURITY.contains(&hash), "expected {hash}");
}

#[test]
fn a_page_loads_nothing_from_elsewhere() {
    for (page, html) in pages(&large(20, 20)) {
        for attribute in ["src=", "http:", "https:", "url(", "@import", "href=\"/"] {
            assert!(!html.contains(attribute), "{page:?} contains {attribute}");
        }
        assert!(html.len() < 100_000, "{page:?}: {} bytes", html.len());
    }
}

#[test]
fn seeds_and_peers_without_a_link_are_no_errors_before_they_fail() {
    let (me, other) = (node("a", "iad", 1), node("b", "iad", 2));
    let mut unlinked = peer(&other, "", "unlinked", &[]);
    unlinked["accepting"] = json!(false);
    let seed = |addr: &str, reason: &str| {
        let mut seed = peer(&other, "", "unreached", &[]);
        (seed["node"], seed["addr"], seed["reason"]) = (json!(null), json!(addr), json!(reason));
        seed["supported"] = if reason.is_empty() { json!(null) } else { json!(false) };
        seed
    };
    let peers = [unlinked, seed("10.9.9.9:1", "this node itself"), seed("10.9.9.9:2", "")];
    let snapshot = collection(report(&me, "", &[], &peers), Vec::new(), Vec::new()).snapshot();
    assert_eq!(snapshot.addresses.len(), 1);
    let found = &snapshot.problems[..];
    assert!(!found.iter().any(|it| it.text.contains("is held")), "{found:?}");
    assert!(found.iter().all(|it| it.severity != Severity::Error), "{found:?}");
    assert!(found.iter().any(|it| it.subject == "10.9.9.9:2"), "{found:?}");
}

#[test]
fn methods_that_are_too_many_are_counted() {
    let others: Vec<Value> = (1..40).map(|boot| node("x", "iad", boot)).collect();
    let methods = |of: usize| -> Value {
        let method = |at| json!({"name": format!("!{of}-{at}"), "arguments": [], "returns": "()"});
        json!({"name": "!", "methods": (0..200).map(method).collect::<Vec<_>>()})
    };
    let notes = service("Notes", &[]);
    let peers: Vec<Value> = others
        .iter()
        .enumerate()
        .map(|(at, other)| peer(other, "", "linked", &[methods(at), notes.clone()]))
        .collect();
    let own = report(&node("me", "iad", 0), "", &[], &peers);
    let snapshot = collection(own, Vec::new(), Vec::new()).snapshot();
    let compared = compare(&snapshot);
    assert_eq!((compared.rows.len(), compared.left_out), (4_096, 39 * 200 + 2 - 4_096));
    assert!(compared.rows.iter().any(|row| row.service == "Notes"), "most nodes serve it");
    let html = page(&Page::Services, &snapshot);
    assert!(html.contains(&format!("and {} more methods", 39 * 200 + 2 - 150)), "{html}");
}
