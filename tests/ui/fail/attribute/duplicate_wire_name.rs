use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[rpc(name = "upcase")]
    async fn shout(&self, text: String) -> String;
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
