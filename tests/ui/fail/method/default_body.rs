use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

fn main() {}
