use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(text: String) -> String;
}

fn main() {}
