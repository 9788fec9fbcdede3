use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, __serializer: String) -> String;
}

fn main() {}
