use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(primary, timeout = "1s")]
    #[rpc(timeout = "2s", primary)]
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
