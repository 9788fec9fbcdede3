use flyrpc::fly_rpc;

#[fly_rpc]
trait Keys {
    async fn save(&self, key: [u8; 64], salt: [u8; 32]);
}

fn main() {}
