use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        let shared = std::rc::Rc::new(text);
        std::future::ready(()).await;
        shared.to_uppercase()
    }
}

fn main() {}
