use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, #[rpc(primary)] text: String, #[rpc(optional)] more: String) -> String;
}

fn main() {}
