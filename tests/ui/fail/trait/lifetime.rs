use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings<'a> {
    async fn upcase(&self) -> String;
}

fn main() {}
