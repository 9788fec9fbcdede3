use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

fn main() {
    let _serve = ServeStrings::new(Shout);
}
