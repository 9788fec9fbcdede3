use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings<T> {
    async fn upcase(&self, text: T) -> T;
}

fn main() {}
