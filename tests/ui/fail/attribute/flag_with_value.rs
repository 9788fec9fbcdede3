use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(primary = true)]
    async fn upcase(&self, text: String) -> String;
    #[rpc(idempotent = false, detached = 1)]
    async fn lower(&self, text: String) -> String;
}

fn main() {}
