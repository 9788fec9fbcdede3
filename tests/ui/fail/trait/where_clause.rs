use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings
where
    Self: Clone,
{
    async fn upcase(&self, text: String) -> String;
}

fn main() {}
