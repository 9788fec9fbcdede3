use flyrpc::fly_rpc;

#[fly_rpc]
#[rpc(primary)]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
