use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(self, text: String) -> String;
    async fn lower(mut self, text: String) -> String;
}

fn main() {}
