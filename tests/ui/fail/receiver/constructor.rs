use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    fn open(path: &str) -> Self;
    async fn upcase(&self, text: String) -> String;
}

struct Plain;

impl Strings for Plain {
    fn open(_path: &str) -> Self {
        Plain
    }

    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

fn main() {
    let _node = flyrpc::Node::builder().serve(ServeStrings::new(Plain::open("words")));
}
