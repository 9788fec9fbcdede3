use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&'static self, text: String) -> String;
}

fn main() {}
