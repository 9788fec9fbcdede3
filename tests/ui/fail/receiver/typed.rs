use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(self: std::sync::Arc<Self>, text: String) -> String;
    async fn lower(self: &Self, text: String) -> String;
}

fn main() {}
