use flyrpc::fly_rpc;

#[fly_rpc]
#[fly_rpc(name = "strings")]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
