//! The output of `nodes`, `describe`, `call` and `top`.

use serde_json::json;

use crate::support::{
    Flyrpc, OTHER_SECRET, SECRET, client, keyring, node, normalized, start, tcp_proxy,
};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_lists_the_node_asked_and_its_peers() {
    let (iad, _others) =
        start(node("iad-0"), [node("hkg-0"), node("hkg-1"), client("web-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let ran = flyrpc.run(["nodes"]).await;
    let expected = "\
ID  REGION  VERSION  STATE  RTT  IN-FLIGHT  SERVES
hkg-0/BOOT  hkg  2  linked  TIME  0  Strings
hkg-1/BOOT  hkg  2  linked  TIME  0  Strings
iad-0/BOOT  iad  2  asked  -  0  Strings
web-0/BOOT  web  -  linked  TIME  0  -
";
    assert_eq!((normalized(&ran.out).as_str(), ran.code), (expected, 0), "{ran:?}");
    let nodes = flyrpc.run(["nodes", "--json"]).await.json();
    assert_eq!(nodes.as_array().unwrap().len(), 4);
    assert_eq!(nodes[2]["id"], json!(iad.id()));
    assert_eq!((&nodes[2]["asked"], &nodes[0]["state"]), (&json!(true), &json!("linked")));
    let keys = flyrpc.run(["nodes", "--keys"]).await.out;
    assert!(normalized(&keys).contains("linked  TIME  0  open  -  Strings"), "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_counts_how_many_hold_each_key() {
    let old = |name| node(name).secret(keyring(SECRET));
    let new = |name| node(name).secret(keyring(&format!("{OTHER_SECRET},{SECRET}")));
    let (iad, _others) = start(new("iad-0"), [old("hkg-0"), new("hkg-1")]).await;
    let flyrpc = Flyrpc::at(iad.addr()).secret(SECRET);
    let ran = flyrpc.run(["nodes", "--keys"]).await;
    let [new, old] = [OTHER_SECRET, SECRET].map(|key| keyring(key).ids().next().unwrap());
    let counts = format!("\n\nKEY  NODES\n{new}  2/3\n{old}  3/3\n");
    assert!(normalized(&ran.out).ends_with(&counts), "{ran:?}");
    let ran = flyrpc.run(["nodes"]).await;
    assert!(ran.out.lines().count() == 4 && !ran.out.contains("links"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reports_open_links_of_a_node_with_a_secret() {
    let sealed = |name| node(name).secret(keyring(SECRET));
    let permissive = sealed("iad-0").insecure();
    let (iad, _others) = start(permissive, [node("hkg-0"), sealed("hkg-1")]).await;
    let flyrpc = Flyrpc::at(iad.addr()).secret(SECRET);
    let ran = flyrpc.run(["nodes"]).await;
    let expected = "\
ID  REGION  VERSION  STATE  RTT  IN-FLIGHT  SERVES
hkg-0/BOOT  hkg  2  linked  TIME  0  Strings
hkg-1/BOOT  hkg  2  linked  TIME  0  Strings
iad-0/BOOT  iad  2  asked  -  0  Strings

links: open to 1 of 2 nodes; --keys shows which
";
    assert_eq!((normalized(&ran.out).as_str(), ran.code), (expected, 0), "{ran:?}");
    let keys = normalized(&flyrpc.run(["nodes", "--keys"]).await.out);
    assert!(keys.contains("\nhkg-0/BOOT  hkg  2  linked  TIME  0  open  -  Strings\n"), "{keys}");
    assert!(!keys.contains("links:"), "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_reports_that_a_node_beyond_loopback_without_a_secret_is_open() {
    let addrs = ["0.0.0.0:0", "10.9.9.9:0"].map(|addr| addr.parse().unwrap());
    let iad = node("iad-0").listen(addrs[0]).advertise(addrs[1]).insecure();
    let (iad, []) = start(iad, []).await;
    let ran = Flyrpc::at(format!("127.0.0.1:{}", iad.addr().port())).run(["nodes"]).await;
    let expected = "\
ID  REGION  VERSION  STATE  RTT  IN-FLIGHT  SERVES
iad-0/BOOT  iad  2  asked  -  0  Strings

links: open
";
    assert_eq!((normalized(&ran.out).as_str(), ran.code), (expected, 0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_the_methods_and_who_lacks_them() {
    let (iad, _others) = start(node("iad-0"), [node("hkg-0"), client("web-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let ran = flyrpc.run(["describe", "Strings"]).await;
    let expected = "\
Strings
  upcase(text: String) -> String
  save(note: String, dry_run: Option<bool>) -> Result<u64, String>  [primary, idempotent]
  sum(values: Vec<f32>, nothing: ()) -> f32
  secret() -> ()
  panic() -> ()
  hang() -> ()
  echo(value: Vec<Vec<Option<Bytes>>>) -> Vec<Vec<Option<Bytes>>>
  produce(size: usize) -> Bytes
  nan() -> Vec<f64>
  served by hkg-0 (version 2), iad-0 (version 2)
  not served by web-0
";
    assert_eq!((ran.out.as_str(), ran.code), (expected, 0), "{ran:?}");
    let description = flyrpc.run(["describe", "--json"]).await.json();
    assert_eq!(description["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(description["support"][0]["lacking"].as_array().unwrap().len(), 1);
    assert_eq!(flyrpc.run(["describe", "Missing"]).await.code, 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn call_prints_the_reply_as_json() {
    let (iad, others) = start(node("iad-0"), [node("hkg-0"), node("hkg-1"), client("web-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let fly = r#"{"text":"fly"}"#;
    let hkg = &others[0];
    let id = hkg.id().to_string();
    for target in
        [&["hkg"][..], &["--primary"], &["--nearest"], &["--node", "hkg-0"], &["--node", &id]]
    {
        let mut args: Vec<&str> = vec!["call"];
        args.extend(target);
        args.extend(["Strings.upcase", fly]);
        let ran = match args[..] {
            [a, b, c, d] => flyrpc.run([a, b, c, d]).await,
            [a, b, c, d, e] => flyrpc.run([a, b, c, d, e]).await,
            _ => unreachable!(),
        };
        assert_eq!((&*ran.out, ran.code), ("\"FLY\"\n", 0), "{target:?}: {ran:?}");
    }
    let ran = flyrpc.clone().stdin(fly).run(["call", "hkg", "Strings.upcase", "-"]).await;
    assert_eq!(ran.out, "\"FLY\"\n", "{ran:?}");
    let ran = flyrpc.run(["call", "--each", "Strings.upcase", fly]).await;
    let expected = "hkg-0/BOOT  \"FLY\"\nhkg-1/BOOT  \"FLY\"\niad-0/BOOT  \"FLY\"\n";
    assert_eq!((normalized(&ran.out).as_str(), ran.code), (expected, 0), "{ran:?}");
    let ran = flyrpc.run(["call", "--each", "hkg", "Strings.upcase", fly, "--json"]).await;
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert_eq!((&lines[0]["reply"], &lines[0]["node"]["id"]), (&json!("FLY"), &json!(hkg.id())));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_replies_have_the_form_of_their_types() {
    let (iad, []) = start(node("iad-0"), []).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let save = r#"{"note":"n","dry_run":null}"#;
    let ran = flyrpc.run(["call", "iad", "Strings.save", save]).await;
    assert_eq!((&*ran.out, ran.code), ("{\"Ok\":18446744073709551615}\n", 0), "{ran:?}");
    let sum = r#"{"values":[0.1,0.5,1],"nothing":null}"#;
    let ran = flyrpc.run(["call", "iad", "Strings.sum", sum]).await;
    assert_eq!((&*ran.out, ran.code), ("1.600000023841858\n", 0), "{ran:?}");
    let echo = r#"{"value":[[[1,2],null],[]]}"#;
    let ran = flyrpc.run(["call", "iad", "Strings.echo", echo]).await;
    assert_eq!((&*ran.out, ran.code), ("[[[1,2],null],[]]\n", 0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_through_a_tcp_proxy_and_no_node_lists_the_command() {
    let (iad, [hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let members = |node: &flyrpc::Node| (node.peers().len(), node.nodes());
    let before = [members(&iad), members(&hkg)];
    let flyrpc = Flyrpc::at(tcp_proxy(iad.addr()).await);
    assert_eq!(flyrpc.run(["nodes"]).await.code, 0);
    let ran = flyrpc.run(["call", "hkg", "Strings.upcase", r#"{"text":"fly"}"#]).await;
    assert_eq!((&*ran.out, ran.code), ("\"FLY\"\n", 0), "{ran:?}");
    assert_eq!(flyrpc.run(["describe"]).await.code, 0);
    assert_eq!([members(&iad), members(&hkg)], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn top_once_prints_the_calls_of_one_second() {
    let (iad, [_hkg]) = start(node("iad-0"), [node("hkg-0")]).await;
    let flyrpc = Flyrpc::at(iad.addr());
    let caller = flyrpc.clone();
    // Calls for as long as the command runs.
    let calls = async {
        loop {
            caller.run(["call", "hkg", "Strings.upcase", r#"{"text":"fly"}"#]).await;
        }
    };
    let ran = tokio::select! {
        ran = flyrpc.run(["top", "--once", "--json"]) => ran,
        () = calls => unreachable!(),
    };
    let rows = ran.json();
    assert_eq!(
        (rows[0]["region"].clone(), rows[0]["method"].clone()),
        (json!("hkg"), json!("Strings.upcase"))
    );
    assert!(rows[0]["calls_per_second"].as_f64() > Some(0.0), "{rows}");
    assert_eq!(rows.as_array().unwrap().len(), 18, "the methods of both nodes");
    let ran = flyrpc.run(["top"]).await;
    assert_eq!(ran.code, 2, "no terminal: {ran:?}");
}
