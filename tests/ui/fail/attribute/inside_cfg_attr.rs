use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    #[cfg_attr(unix, rpc(primary))]
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
