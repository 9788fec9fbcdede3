use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase<T: ToString>(&self, text: T) -> String;
}

fn main() {}
