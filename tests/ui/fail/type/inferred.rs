use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, texts: Vec<_>) -> String;
}

fn main() {}
