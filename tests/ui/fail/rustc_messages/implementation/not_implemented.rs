use flyrpc::{Node, fly_rpc};

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

fn main() {
    let _ = Node::builder().serve(ServeStrings::new(Shout));
}
