use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn on_region(&self);
    async fn on_primary(&self);
    async fn on_node(&self);
    async fn nearest(&self);
    async fn or_region(&self);
    async fn or_primary(&self);
    async fn or_nearest(&self);
    async fn each(&self);
    async fn metadata(&self);
    async fn timeout(&self);
    async fn wait(&self);
    async fn from_stub(&self);
    async fn NAME(&self);
}

fn main() {}
