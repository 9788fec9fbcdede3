use flyrpc::fly_rpc;

#[fly_rpc]
trait Store<T: Send> {
    async fn put(&self, value: T);
    async fn count(&self) -> u32;
}

async fn call(client: StoreClient) {
    client.put(7).await.unwrap();
    println!("{}", client.count().await.unwrap());
}

fn main() {}
