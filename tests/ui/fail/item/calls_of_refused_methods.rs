use flyrpc::fly_rpc;

// Each method is refused, but calls that fit the declarations cause no further errors.
#[fly_rpc]
trait Strings {
    async fn find(&self, text: Option<&str>) -> Result<&str, Box<dyn std::error::Error>>;
    #[rpc(idempotant)]
    async fn put(&self, text: Option<String>);
    async fn map(&self, with: impl Fn(u8) -> u8) -> u8;
    async fn apply(&self, with: Box<dyn Fn(u8) -> u8>) -> u8;
    async fn wait(&self, text: String) -> u8;
}

async fn call(client: StringsClient) {
    let found = client.find(None).await;
    println!("{}", found.unwrap().unwrap().len());
    client.put(None).await.unwrap();
    let mapped = client.map(|n| n + 1).await.unwrap() + client.apply(Box::new(|n| n + 1)).await.unwrap();
    println!("{}", client.on_region("hkg").wait("a".into()).await.unwrap() + mapped);
}

fn main() {}
