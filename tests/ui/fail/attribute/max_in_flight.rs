use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(max_in_flight = 0)]
    async fn upcase(&self, text: String) -> String;
    #[rpc(max_in_flight = "64")]
    async fn lower(&self, text: String) -> String;
    #[rpc(max_in_flight = 5_000_000_000)]
    async fn title(&self, text: String) -> String;
    #[rpc(max_in_flight)]
    async fn swap(&self, text: String) -> String;
}

fn main() {}
