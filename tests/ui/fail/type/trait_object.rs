use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: Box<dyn ToString>) -> Box<dyn std::error::Error>;
}

fn main() {}
