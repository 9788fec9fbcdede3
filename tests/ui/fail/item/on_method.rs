use flyrpc::fly_rpc;

trait Strings {
    #[fly_rpc(idempotent)]
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
