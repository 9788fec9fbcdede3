use flyrpc::fly_rpc;

#[fly_rpc(primary, timeout = "2s")]
trait Strings {
    async fn upcase(&self);
}

fn main() {}
