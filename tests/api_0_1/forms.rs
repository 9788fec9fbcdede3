//! The forms of values that programs store or print: text and JSON.

use flyrpc::{Event, Node, NodeId, NodeInfo, Region, ServiceSpec};

use crate::generated::{ServeText, Texts};

/// The service `texts` of this test, as nodes of 0.1 list it.
const SERVICES: &str = concat!(
    r#"[{"name":"texts","methods":["#,
    r#"{"name":"upcase","arguments":[{"name":"text","ty":"String","optional":false}],"#,
    r#""returns":"String","primary":false,"idempotent":false,"detached":false},"#,
    r#"{"name":"save","arguments":[{"name":"key","ty":"u32","optional":false},"#,
    r#"{"name":"count","ty":"u8","optional":true},"#,
    r#"{"name":"note","ty":"Option<String>","optional":true}],"#,
    r#""returns":"Result<u8, String>","primary":true,"idempotent":false,"detached":false},"#,
    r#"{"name":"load","arguments":[],"#,
    r#""returns":"Vec<u8>","primary":false,"idempotent":true,"detached":false},"#,
    r#"{"name":"other","arguments":[],"#,
    r#""returns":"()","primary":false,"idempotent":false,"detached":true},"#,
    r#"{"name":"old","arguments":[],"#,
    r#""returns":"()","primary":false,"idempotent":false,"detached":false},"#,
    r#"{"name":"new","arguments":[],"#,
    r#""returns":"()","primary":false,"idempotent":false,"detached":false}]}]"#,
);

#[test]
fn names_of_nodes_and_regions() {
    let id = NodeId::new("web", 0x1f);
    assert_eq!(id.to_string(), "web/000000000000001f");
    assert_eq!(id.to_string().parse(), Ok(id.clone()));
    assert!("web".parse::<NodeId>().is_err());
    assert_eq!(serde_json::to_string(&id).unwrap(), r#""web/000000000000001f""#);
    assert_eq!(serde_json::from_str::<NodeId>(r#""web/000000000000001f""#).unwrap(), id);

    let region = Region::from(" HKG ");
    assert_eq!(region.to_string(), "hkg");
    assert_eq!(serde_json::to_string(&region).unwrap(), r#""hkg""#);
    assert_eq!(serde_json::from_str::<Region>(r#""hkg""#).unwrap(), region);
    assert_eq!(Region::LOCAL, "local");
    assert!(Region::from("").is_empty());

    let info = NodeInfo::new(id, region, "10.0.0.7:3590".parse().unwrap());
    assert_eq!(info.to_string(), "web/000000000000001f in hkg");
    assert_eq!(Event::Up(info).to_string(), "up web");
}

#[tokio::test]
async fn descriptions_of_services() {
    let server = Node::builder().serve(ServeText::new(Texts)).start().await.unwrap();
    let node = Node::builder().seeds([server.addr()]).start().await.unwrap();
    node.ready().await;
    let peers = node.peers();
    let services = &peers[0].services;
    assert_eq!(serde_json::to_string(services).unwrap(), SERVICES);
    assert_eq!(serde_json::from_str::<Vec<ServiceSpec>>(SERVICES).unwrap(), *services);
    let save = services[0].methods[1].to_string();
    assert_eq!(save, "save(key: u32, count: u8, note: Option<String>) -> Result<u8, String>");
}
