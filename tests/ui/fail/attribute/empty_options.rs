use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc]
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
