use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: std::borrow::Cow<'_, str>) -> String;
}

fn main() {}
