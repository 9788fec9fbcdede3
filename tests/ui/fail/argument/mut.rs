use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, mut text: String) -> String;
}

fn main() {}
