use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: &str) -> String;
    fn lower(&self, text: String) -> String;
    async fn title(&mut self, _: String) -> String;
    async fn right(&self, text: String) -> String;
    async fn timeout(&self) -> String;
    #[rpc(primry)]
    async fn swap(&self, text: String) -> String;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: &str) -> String {
        text.to_uppercase()
    }
    fn lower(&self, text: String) -> String {
        text.to_lowercase()
    }
    async fn title(&mut self, text: String) -> String {
        text
    }
    async fn right(&self, text: String) -> String {
        text
    }
    async fn timeout(&self) -> String {
        String::new()
    }
    async fn swap(&self, text: String) -> String {
        text
    }
}

async fn calls(strings: &StringsClient) -> Result<String, flyrpc::RpcError> {
    let client = strings.on_region("hkg").wait(std::time::Duration::from_secs(1));
    client.upcase("a").await?;
    client.lower("a".to_owned()).await?;
    client.title("a".to_owned()).await?;
    client.swap("a".to_owned()).await?;
    client.right("a".to_owned()).await
}

fn main() {
    let _serve = ServeStrings::new(Shout).clone();
}
