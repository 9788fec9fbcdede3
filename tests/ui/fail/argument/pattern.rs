use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, (text, times): (String, u8)) -> String;
}

fn main() {}
