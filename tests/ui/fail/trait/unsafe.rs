use flyrpc::fly_rpc;

#[fly_rpc]
unsafe trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
