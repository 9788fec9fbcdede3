use flyrpc::fly_rpc;

#[fly_rpc("strings")]
trait Strings {
    #[rpc("primary")]
    async fn upcase(&self);
    #[rpc(idempotent timeout = "2s")]
    async fn downcase(&self);
}

fn main() {}
