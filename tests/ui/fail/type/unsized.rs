use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: str, bytes: [u8]) -> String;
}

fn main() {}
