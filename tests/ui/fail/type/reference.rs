use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: &str) -> String;
    async fn sum(&self, numbers: &[u8]) -> u64;
    async fn name(&self) -> &'static str;
    async fn first(&self, all: Vec<&'static str>) -> Option<&u64>;
}

fn main() {}
