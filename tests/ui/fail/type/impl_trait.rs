use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: impl Into<String>) -> impl Iterator<Item = String>;
}

fn main() {}
