use async_trait::async_trait;
use flyrpc::fly_rpc;

#[fly_rpc]
#[async_trait]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

#[async_trait]
impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

fn main() {
    let _ = ServeStrings::new(Shout);
}
