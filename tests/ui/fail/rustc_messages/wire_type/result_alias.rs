use std::io::Result;

use flyrpc::fly_rpc;

#[fly_rpc]
trait Files {
    async fn size(&self, path: String) -> Result<u64>;
    async fn list(&self) -> Option<Result<Vec<String>>>;
}

fn main() {}
