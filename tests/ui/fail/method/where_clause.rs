use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String
    where
        Self: Clone;
}

fn main() {}
