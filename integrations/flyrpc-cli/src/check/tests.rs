use std::net::SocketAddr;

use flyrpc::{KeyId, Keyring, NoSupport, operations::NodeReport};
use serde_json::{Value, json};

use super::{
    observe::{Advertised, Answer, Answered, Observed, is_first_dial, kind_of_reason},
    render::{self, Marks},
    stages::{Check, StageResult, judge},
};

/// The report of a node as JSON, so that a test can change it.
fn report(name: &str, port: u16) -> Value {
    json!({
        "node": info(name, port),
        "cluster": "shop",
        "version": "7",
        "flyrpc": "0.2.0",
        "protocol": [1, 1],
        "primary_region": "iad",
        "accepting": true,
        "draining": false,
        "ready": true,
        "withdrawn": [],
        "keys": [],
        "unix_time": 1_800_000_000.0,
        "uptime": 60.0,
        "in_flight": 0,
        "services": [service("save", &[])],
        "peers": [],
    })
}

fn info(name: &str, port: u16) -> Value {
    json!({
        "id": format!("{name}/{port:016x}"),
        "region": name.split('-').next().unwrap(),
        "addr": format!("10.0.0.1:{port}"),
    })
}

fn service(method: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<Value> =
        arguments.iter().map(|name| json!({"name": name, "ty": "u8"})).collect();
    json!({"name": "Notes", "methods": [{"name": method, "arguments": arguments, "returns": "()"}]})
}

fn peer(name: &str, port: u16) -> Value {
    json!({
        "addr": format!("10.0.0.1:{port}"),
        "node": info(name, port),
        "version": "7",
        "state": "linked",
        "supported": true,
        "reason": "",
        "accepting": true,
        "primary_region": "iad",
        "services": [],
        "withdrawn": [],
        "security": "open",
        "keys": [],
        "round_trip": 0.2,
        "in_flight": 0,
        "reported_in_flight": 0,
        "ejected": false,
        "gossip_age": 1.0,
        "gossip_missing": false,
    })
}

/// iad-0, which is asked, and hkg-0, which is checked. Each lists the other.
struct Facts {
    asked: Value,
    node: Value,
    /// By how much the clock of hkg-0 is ahead.
    clock: f64,
    reached: SocketAddr,
    advertised: Advertised,
}

impl Facts {
    fn healthy() -> Self {
        let (mut asked, mut node) = (report("iad-0", 1), report("hkg-0", 2));
        asked["peers"] = json!([peer("hkg-0", 2)]);
        node["peers"] = json!([peer("iad-0", 1)]);
        let reached = ([10, 0, 0, 1], 2).into();
        Facts { asked, node, clock: 0.001, reached, advertised: Advertised::NotTried }
    }

    fn judge(self) -> Check {
        let answered = |report: Value, clock| Answered {
            report: serde_json::from_value::<NodeReport>(report).unwrap(),
            reached: Some(self.reached),
            took: 0.2,
            clock,
            sealed: None,
        };
        judge(&Observed {
            target: "hkg-0".to_owned(),
            addrs: Ok(vec![self.reached]),
            answer: Answer::Node(Box::new(answered(self.node, self.clock))),
            keys: Vec::new(),
            asked: Ok(answered(self.asked, 0.0)),
            advertised: self.advertised,
            impostor: None,
        })
    }
}

/// The check of a node that did not answer, which iad-0 does not list.
fn failed(kind: &str, message: &str, keys: &[&str]) -> Check {
    let asked = serde_json::from_value(report("iad-0", 1)).unwrap();
    judge(&Observed {
        target: "10.0.0.1:2".to_owned(),
        addrs: Ok(vec![([10, 0, 0, 1], 2).into()]),
        answer: Answer::Failed {
            kind: kind.to_owned(),
            message: message.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        },
        keys: vec!["0a0b0c0d".to_owned()],
        asked: Ok(Answered { report: asked, reached: None, took: 0.1, clock: 0.0, sealed: None }),
        advertised: Advertised::NotTried,
        impostor: None,
    })
}

#[track_caller]
fn diagnosed(check: &Check, cause: &str, remedy: &str) {
    let text = render::text(check, Marks::ASCII);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(&format!("{cause}: ")) && last.contains(remedy), "{text}");
}

fn with(change: impl FnOnce(&mut Facts)) -> Check {
    let mut facts = Facts::healthy();
    change(&mut facts);
    facts.judge()
}

#[test]
fn a_healthy_node_passes() {
    let check = Facts::healthy().judge();
    assert!(check.failed().is_none(), "{check:?}");
    assert_eq!(check.stages.len(), 13);
    assert_eq!(check.diagnosis, "ok: the node can be seen and called");
}

/// The twelve causes of `operations.md`.
fn twelve() -> [(Check, &'static str, &'static str); 12] {
    [
        (failed("CONNECT", "cannot connect: refused", &[]), "port closed", "FLYRPC_LISTEN"),
        (failed("NOT_FLYRPC", "it sent \"HTTP/1.1\"", &[]), "not flyrpc", "web server"),
        (
            with(|facts| {
                facts.asked["peers"][0]["gossip_missing"] = json!(true);
                facts.asked["peers"][0]["gossip_age"] = json!(42.0);
            }),
            "UDP dropped",
            "10.0.0.1:1",
        ),
        (failed("OTHER_SECRET", "holds another secret", &["01020304"]), "wrong key", "same secret"),
        (failed("SECRET_REQUIRED", "requires a secret", &[]), "no key", "FLYRPC_SECRET"),
        (with(|facts| facts.node["cluster"] = json!("x")), "other cluster", "FLYRPC_CLUSTER"),
        (failed("OTHER_VERSION", "speaks 7 to 8", &[]), "other version", "share a version"),
        (
            with(|facts| {
                facts.reached = ([192, 0, 2, 1], 2).into();
                facts.advertised = Advertised::Other("hkg-9 answers there".to_owned());
            }),
            "wrong address advertised",
            "FLYRPC_ADVERTISE",
        ),
        (
            with(|facts| facts.node["primary_region"] = json!("hkg")),
            "primary differs",
            "PRIMARY_REGION",
        ),
        (with(|facts| facts.node["accepting"] = json!(false)), "held", "flyrpc accept hkg-0"),
        (
            with(|facts| {
                facts.node["accepting"] = json!(false);
                facts.node["draining"] = json!(true);
            }),
            "draining",
            "restart",
        ),
        (with(|facts| facts.clock = -12.0), "clock behind", "NTP"),
    ]
}

#[test]
fn twelve_causes_have_twelve_diagnoses_with_their_remedies() {
    let mut last_lines = Vec::new();
    for (check, cause, remedy) in twelve() {
        diagnosed(&check, cause, remedy);
        last_lines.push(check.diagnosis);
    }
    last_lines.sort();
    last_lines.dedup();
    assert_eq!(last_lines.len(), 12);
}

#[test]
fn other_causes_have_diagnoses_too() {
    let other = with(|facts| facts.node["protocol"] = json!([2, 3]));
    diagnosed(&other, "other version", "share a version");
    diagnosed(&failed("CONNECT_TIMEOUT", "timed out", &[]), "no connection", "firewall");
    diagnosed(&failed("NO_SECRET", "has no secret", &[]), "no key there", "on the node");
    diagnosed(&failed("STATUS", "no answer", &[]), "no answer", "16 visitors");
    diagnosed(&failed("CLOSED", "closed", &[]), "connection closed", "version 0.1");
    diagnosed(&with(|facts| facts.clock = 5.0), "clock ahead", "NTP");
    let withdrawn = with(|facts| facts.node["withdrawn"] = json!(["Notes"]));
    diagnosed(&withdrawn, "withdrawn", "set_serving");
    let differing = with(|facts| facts.node["services"] = json!([service("save", &["id"])]));
    diagnosed(&differing, "services differ", "complete the deploy");
    diagnosed(&with(|facts| facts.asked["peers"] = json!([])), "unlisted", "FLYRPC_SEEDS");
    let lost = with(|facts| {
        facts.asked["peers"][0]["state"] = json!("lost");
        facts.asked["peers"][0]["supported"] = json!(null);
    });
    diagnosed(&lost, "unlinked", "from iad-0 to 10.0.0.1:2");
    diagnosed(&failed("OTHER_NODE", "x answers there", &[]), "other node", "restarted or moved");
    let elsewhere = with(|facts| {
        facts.asked["primary_region"] = json!("syd");
        facts.node["primary_region"] = json!("syd");
    });
    diagnosed(&elsewhere, "no primary node", "PRIMARY_REGION");
    let back = with(|facts| facts.node["peers"][0]["gossip_missing"] = json!(true));
    diagnosed(&back, "UDP dropped", "10.0.0.1:2");
}

#[test]
fn the_ids_of_both_sides_keys_are_shown() {
    let text = render::text(&failed("OTHER_SECRET", "x", &["01020304"]), Marks::ASCII);
    assert!(text.contains("keys here: 0a0b0c0d; keys there: 01020304"), "{text}");
    assert!(text.contains("iad-0 does not list it"), "{text}");
}

#[test]
fn an_address_that_only_this_machine_cannot_dial_is_not_wrong() {
    let unreachable = |facts: &mut Facts| {
        facts.reached = ([192, 0, 2, 1], 2).into();
        facts.advertised = Advertised::Unreachable("timed out".to_owned());
    };
    let check = with(unreachable);
    assert!(check.failed().is_none(), "{check:?}");
    let stage = check.stages.iter().find(|stage| stage.name == "address").unwrap();
    assert_eq!(stage.result, StageResult::Unknown);
    assert!(stage.detail.contains("outside of the network"), "{}", stage.detail);
    let unlinked = with(|facts| {
        unreachable(facts);
        facts.asked["peers"] = json!([]);
        facts.node["peers"] = json!([]);
    });
    diagnosed(&unlinked, "wrong address advertised", "NAT");
}

#[test]
fn the_first_dial_of_a_seed_is_a_notice() {
    let mut asked = report("iad-0", 1);
    asked["peers"] = json!([peer("hkg-0", 2)]);
    for (name, value) in [("node", json!(null)), ("state", json!("unreached"))] {
        asked["peers"][0][name] = value;
    }
    let report: NodeReport = serde_json::from_value(asked).unwrap();
    assert!(is_first_dial(&report.peers[0]));
    let check = judge(&Observed {
        target: "10.0.0.1:2".to_owned(),
        addrs: Ok(vec![([10, 0, 0, 1], 2).into()]),
        answer: Answer::Dialing,
        keys: Vec::new(),
        asked: Ok(Answered { report, reached: None, took: 0.1, clock: 0.0, sealed: None }),
        advertised: Advertised::NotTried,
        impostor: None,
    });
    assert!(check.failed().is_none() && check.diagnosis.starts_with("notice: "), "{check:?}");
}

#[test]
fn text_of_a_peer_forges_no_stage() {
    let text = render::text(&failed("CONNECT", "x\nok: forged\u{202e}", &[]), Marks::ASCII);
    assert!(text.contains("x ok: forged?"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("ok: ")), "{text}");
}

#[test]
fn a_port_forward_is_not_a_wrong_address() {
    let check = with(|facts| facts.reached = ([127, 0, 0, 1], 3590).into());
    assert!(check.failed().is_none(), "{check:?}");
}

#[test]
fn the_reasons_of_peers_are_recognized() {
    let keyring: Keyring = "00".repeat(32).parse().unwrap();
    let keys: Vec<KeyId> = keyring.ids().collect();
    let reasons = [
        (NoSupport::Unreachable("refused".to_owned()), "CONNECT"),
        (NoSupport::Mute, "HANDSHAKE_TIMEOUT"),
        (NoSupport::NotFlyrpc("HTTP".to_owned()), "NOT_FLYRPC"),
        (NoSupport::Protocol { first: 2, last: 3 }, "OTHER_VERSION"),
        (NoSupport::OtherCluster("x".to_owned()), "OTHER_CLUSTER"),
        (NoSupport::OtherSecret(keys), "OTHER_SECRET"),
        (NoSupport::SecretRequired, "SECRET_REQUIRED"),
        (NoSupport::NoSecret, "NO_SECRET"),
        (NoSupport::Oneself, "ITSELF"),
    ];
    for (reason, kind) in reasons {
        assert_eq!(kind_of_reason(&reason.to_string()), Some(kind), "{reason}");
    }
    assert_eq!(kind_of_reason(""), None);
}
