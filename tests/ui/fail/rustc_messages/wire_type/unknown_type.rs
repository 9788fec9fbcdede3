use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, note: Missing) -> String;
}

fn main() {}
