use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    const async fn upcase(&self, text: String) -> String;
}

fn main() {}
