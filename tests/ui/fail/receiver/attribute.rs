use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(#[rpc(default)] &self, text: String) -> String;
}

fn main() {}
