use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn upcase(&self, text: Vec<String>) -> Vec<String>;
}

fn main() {}
