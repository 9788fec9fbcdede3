use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings: Clone + std::fmt::Debug {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
