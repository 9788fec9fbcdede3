use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn lower(&self, text: String) -> String;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: Vec<u8>) -> String {
        String::new()
    }
}

fn main() {}
