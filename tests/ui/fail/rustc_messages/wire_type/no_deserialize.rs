use flyrpc::fly_rpc;

#[derive(serde::Serialize)]
struct Note {
    text: String,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self) -> Option<Note>;
}

fn main() {}
