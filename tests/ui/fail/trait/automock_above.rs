use flyrpc::fly_rpc;

#[mockall::automock]
#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
