use flyrpc::fly_rpc;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note {
    text: String,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, #[rpc(default)] note: Note) -> String;
}

fn main() {}
