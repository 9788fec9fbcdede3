use flyrpc::fly_rpc;

/// A type that reads arrays of any length.
#[derive(serde::Serialize, serde::Deserialize)]
struct Hex<T>(String, std::marker::PhantomData<T>);

#[fly_rpc]
trait Keys {
    async fn save(&self, key: [u8; 64], salt: [u8; 32]);
    async fn load(&self, hex: Hex<[u8; 64]>) -> Option<[u8; 33]>;
}

fn main() {}
