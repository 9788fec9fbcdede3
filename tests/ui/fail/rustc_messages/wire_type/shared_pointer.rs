use std::sync::Arc;

use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: Arc<str>) -> Vec<Arc<str>>;
}

fn main() {}
