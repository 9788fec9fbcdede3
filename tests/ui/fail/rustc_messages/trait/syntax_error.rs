use flyrpc::fly_rpc;

// Only rustc reports the syntax error. The client exists.
#[fly_rpc]
pub trait Strings {
    async fn upcase(&self, text) -> String;
    async fn downcase(&self, text: String) -> String;
}

pub async fn call(client: StringsClient) {
    let text = client.downcase("A".into()).await.unwrap();
    client.upcase(text.as_str()).await.unwrap();
}

fn main() {}
