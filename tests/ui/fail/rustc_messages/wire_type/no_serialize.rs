use flyrpc::fly_rpc;

#[derive(serde::Deserialize)]
struct Note {
    text: String,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, notes: Vec<Note>) -> String;
}

fn main() {}
