use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, other: Self) -> Option<Self>;
}

fn main() {}
