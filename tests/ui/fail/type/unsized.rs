use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: str, bytes: [u8]) -> String;
    async fn find(&self, text: Option<str>, all: Vec<[u8]>) -> (u8, str);
}

fn main() {}
