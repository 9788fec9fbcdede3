use flyrpc::{Node, fly_rpc};

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

fn main() {
    let _ = Node::builder().serve(Shout);
}
