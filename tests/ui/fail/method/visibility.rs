use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    pub async fn upcase(&self, text: String) -> String;
    pub(crate) async fn downcase(&self, text: String) -> String;
}

fn call(client: &StringsClient) {
    let _call = client.upcase(String::new());
}

fn main() {}
