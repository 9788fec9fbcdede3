use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, _: String) -> String;
}

fn main() {}
