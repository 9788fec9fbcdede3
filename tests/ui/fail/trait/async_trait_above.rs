use async_trait::async_trait;
use flyrpc::fly_rpc;

#[async_trait]
#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
    async fn nothing(&self);
}

struct Shout;

#[async_trait]
impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn nothing(&self) {}
}

fn main() {
    let _ = ServeStrings::new(Shout);
}
