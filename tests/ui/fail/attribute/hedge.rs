use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(hedge = "50ms")]
    async fn upcase(&self, text: String) -> String;
    #[rpc(idempotent, hedge = "95")]
    async fn lower(&self, text: String) -> String;
    #[rpc(idempotent, hedge = "p100")]
    async fn title(&self, text: String) -> String;
    #[rpc(idempotent, hedge = "0ms")]
    async fn swap(&self, text: String) -> String;
    #[rpc(idempotent, hedge)]
    async fn fold(&self, text: String) -> String;
    #[rpc(idempotent, detached, hedge = "50ms")]
    async fn store(&self, text: String);
    #[rpc(idempotent, timeout = "50ms", hedge = "50ms")]
    async fn load(&self, text: String) -> String;
}

fn main() {}
