//! An unknown type in a container is reported once.

use flyrpc::fly_rpc;

#[fly_rpc]
trait Notes {
    async fn all(&self) -> Vec<Nota>;
}

fn main() {}
