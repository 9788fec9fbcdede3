use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn on_region(&self);
    async fn on_primary(&self);
    async fn on_node(&self);
    async fn timeout(&self);
    async fn wait(&self);
    async fn from_stub(&self);
}

fn main() {}
