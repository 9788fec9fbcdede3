use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    type Text;
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
