use flyrpc::fly_rpc;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note<'a> {
    text: &'a str,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, note: Note) -> String;
}

fn main() {}
