use flyrpc::fly_rpc;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note {
    #[serde(skip)]
    text: std::rc::Rc<String>,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, note: Note) -> String;
}

fn main() {}
