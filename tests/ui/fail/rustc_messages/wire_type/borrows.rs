use flyrpc::fly_rpc;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note<'a> {
    text: &'a str,
}

#[fly_rpc]
trait Notes {
    async fn save(&self, note: Note<'static>) -> u8;
}

fn main() {}
