use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(idempotnt)]
    async fn upcase(&self, text: String) -> String;
    #[rpc(retry(3), primary)]
    async fn lower(&self, text: String) -> String;
}

fn main() {}
